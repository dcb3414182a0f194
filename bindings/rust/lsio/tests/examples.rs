//! The programs of `examples/`, as a user runs them.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// cargo builds them for the tests, beside these.
fn program(name: &str) -> Command {
    let exe = std::env::current_exe().unwrap();
    Command::new(exe.parent().unwrap().parent().unwrap().join("examples").join(name))
}

fn data() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    for i in 0..2 {
        let bytes: Vec<u8> = (0..100_000).flat_map(|v| ((i * 100_000 + v) as f32).to_le_bytes()).collect();
        std::fs::write(folder.path().join(format!("{i}.f32")), bytes).unwrap();
    }
    let pattern = folder.path().join("*.f32");
    (folder, pattern)
}

fn said(run: &mut Command) -> String {
    let run = run.output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8(run.stdout).unwrap()
}

#[test]
fn each_chunk() {
    let (_folder, pattern) = data();
    let text = said(program("each_chunk").arg(&pattern));
    assert!(text.starts_with("4 chunks, ") && text.trim().ends_with("zero bytes"), "{text}");
}

#[test]
fn statistics() {
    let (_folder, pattern) = data();
    let text = said(program("statistics").arg(&pattern));
    assert_eq!(text.trim(), "200000 values: mean 99999.500, spread 57735.027, from 0 to 199999");
}

#[test]
fn lua_transform() {
    let (_folder, pattern) = data();
    let text = said(program("lua_transform").arg(&pattern).arg("150000"));
    assert_eq!(text.trim(), "49999 of 200000 values");
}

#[test]
fn one_vector() {
    let (folder, _) = data();
    let text = said(program("one_vector").arg(folder.path().join("1.f32")));
    assert_eq!(text.trim(), "100000 values, the last one is 99999.5");
}

#[test]
fn range_service() {
    let (folder, _) = data();
    let mut child = program("range_service").arg(folder.path()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("http://").unwrap().to_owned();
    let ask = |path: &str, range: &str| {
        let mut s = std::net::TcpStream::connect(&address).unwrap();
        write!(s, "GET {path} HTTP/1.1\r\nHost: x\r\nRange: bytes={range}\r\n\r\n").unwrap();
        let mut bytes = vec![];
        s.read_to_end(&mut bytes).unwrap();
        let at = bytes.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
        (String::from_utf8_lossy(&bytes[9..12]).into_owned(), bytes[at + 4..].to_vec())
    };
    let answers = [
        ask("/0.f32", "4-11"),
        ask("/1.f32", "399999-500000"),
        ask("/9.f32", "0-1"),
        ask("/../0.f32", "0-1"),
    ];
    child.kill().unwrap();
    child.wait().unwrap();
    let want: Vec<u8> = [1f32, 2.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    assert_eq!(answers[0], ("206".into(), want));
    assert_eq!(answers[1..].iter().map(|a| a.0.as_str()).collect::<Vec<_>>(), ["416", "404", "400"]);
}
