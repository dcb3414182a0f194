//! A service that answers HTTP requests for ranges of the files of a folder, on tokio.
//!
//!     cargo run --example range_service -- FOLDER 8080
//!     curl -H 'Range: bytes=0-99' http://127.0.0.1:8080/data.f32

use lsio::{Context, ErrorKind};
use std::io;
use std::path::{Component, Path, PathBuf};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What is asked for: a path within the folder, and the first and last byte.
async fn request(stream: &mut TcpStream, folder: &Path) -> io::Result<Option<(PathBuf, u64, u64)>> {
    let mut lines = BufReader::new(stream.take(16 << 10)).lines();
    let first = lines.next_line().await?.unwrap_or_default();
    let path = first.strip_prefix("GET /").and_then(|l| l.split(' ').next()).map(PathBuf::from);
    let mut range = None;
    while let Some(line) = lines.next_line().await?.filter(|l| !l.is_empty()) {
        let value = line.to_ascii_lowercase().strip_prefix("range: bytes=").map(str::to_owned);
        if let Some((a, b)) = value.as_deref().and_then(|v| v.split_once('-')) {
            range = a.parse().ok().zip(b.parse().ok()).filter(|(a, b)| a <= b);
        }
    }
    let inside = |p: &PathBuf| p.components().all(|c| matches!(c, Component::Normal(_)));
    Ok(path.filter(inside).zip(range).map(|(p, (a, b))| (folder.join(p), a, b)))
}

async fn answer(context: Context, folder: PathBuf, mut stream: TcpStream) -> io::Result<()> {
    let (head, body) = match request(&mut stream, &folder).await? {
        None => ("400 Bad Request", None),
        Some((path, first, last)) => match context.get_range(path, first..=last).await {
            Ok(bytes) => ("206 Partial Content", Some(bytes)),
            Err(e) if e.kind() == ErrorKind::NotFound => ("404 Not Found", None),
            Err(_) => ("416 Range Not Satisfiable", None),
        },
    };
    let body = body.as_deref().unwrap_or(&[]);
    let head = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body).await
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let folder = PathBuf::from(args.next().unwrap_or(".".into()));
    let port: u16 = args.next().map_or(Ok(0), |p| p.parse())?;
    let context = Context::new()?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("http://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(answer(context.clone(), folder.clone(), stream));
    }
}
