//! Where LSIO comes from, in this order: the folder that `LSIO_LIB_DIR` names, pkg-config, and else it is
//! built from source by cmake. `LSIO_STATIC=1` asks for `liblsio.a` of the first two.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-env=LSIO_SYS_TARGET={}", env::var("TARGET")?); // for the tests
    for name in ["LSIO_LIB_DIR", "LSIO_STATIC", "LSIO_NO_PKG_CONFIG", "DOCS_RS"] {
        println!("cargo:rerun-if-env-changed={name}");
    }
    if env::var_os("DOCS_RS").is_some() {
        return Ok(()); // nothing is linked where only the documentation is made
    }
    let fixed = env::var("LSIO_STATIC").is_ok_and(|v| !v.is_empty() && v != "0");
    if let Some(folder) = env::var_os("LSIO_LIB_DIR") {
        return link_from(Path::new(&folder), fixed);
    }
    if env::var_os("LSIO_NO_PKG_CONFIG").is_none() {
        let found = pkg_config::Config::new().range_version("0.1".."0.2").statik(fixed).probe("lsio");
        if let Ok(found) = found {
            println!("cargo:version={}", found.version);
            return Ok(());
        }
    }
    build()
}

/// From a folder with liblsio, of an installed LSIO or one that cmake has built there.
fn link_from(folder: &Path, fixed: bool) -> Result<()> {
    println!("cargo:rustc-link-search=native={}", folder.display());
    if !fixed {
        println!("cargo:rustc-link-lib=dylib=lsio");
        return Ok(());
    }
    let archive = folder.join("liblsio.a");
    if !archive.exists() {
        return Err(format!("LSIO_STATIC is set, and {} is not there", archive.display()).into());
    }
    println!("cargo:rerun-if-changed={}", archive.display());
    println!("cargo:rustc-link-lib=static=lsio");
    let found = [folder.join("pkgconfig/lsio.pc"), folder.join("lsio.pc")];
    let pc = found.iter().find(|p| p.exists()).ok_or("there is no lsio.pc beside liblsio.a")?;
    link_what_it_needs(&fs::read_to_string(pc)?)
}

/// What a static liblsio is linked with, as its lsio.pc says.
fn link_what_it_needs(pc: &str) -> Result<()> {
    for line in pc.lines() {
        if let Some(modules) = line.strip_prefix("Requires.private:") {
            for module in modules.split_whitespace() {
                pkg_config::Config::new().probe(module)?;
            }
        } else if let Some(flags) = line.strip_prefix("Libs.private:") {
            for name in flags.split_whitespace().filter_map(|f| f.strip_prefix("-l")) {
                let kind = if name == "lsio-luajit" { "static" } else { "dylib" };
                println!("cargo:rustc-link-lib={kind}={name}");
            }
        }
    }
    Ok(())
}

/// The tree of LSIO: staged in a package, else the one that this folder lies in.
fn source() -> Result<PathBuf> {
    let here = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let staged = here.join("lsio-source");
    let tree = if staged.join("CMakeLists.txt").exists() { staged } else { here.join("../../..") };
    if !tree.join("core/lsio.h").exists() {
        return Err(
            "LSIO was found neither by LSIO_LIB_DIR nor by pkg-config, and its source is not here".into()
        );
    }
    Ok(tree.canonicalize()?)
}

fn build() -> Result<()> {
    let tree = source()?;
    for part in ["CMakeLists.txt", "core", "backends", "lua"] {
        println!("cargo:rerun-if-changed={}", tree.join(part).display());
    }
    let mut config = cmake::Config::new(&tree);
    config.profile("RelWithDebInfo").build_target("lsio_static");
    for part in ["LSIO_TESTS", "LSIO_BENCH"] {
        config.define(part, "OFF");
    }
    config.define("LSIO_LUAJIT", luajit()?);
    let folder = config.build().join("build");
    println!("cargo:rustc-link-search=native={}", folder.display());
    println!("cargo:rustc-link-lib=static=lsio");
    link_what_it_needs(&fs::read_to_string(folder.join("lsio.pc"))?.replace("-llsio-luajit", ""))?;
    println!("cargo:include={}", tree.join("core").display());
    Ok(())
}

#[cfg(not(feature = "vendored-luajit"))]
fn luajit() -> Result<String> {
    Ok("system".into())
}

/// A prefix such as lua/upstream/build makes: LuaJIT that looks at hooks in compiled code too, so that a
/// transform which does not return can be interrupted.
#[cfg(feature = "vendored-luajit")]
fn luajit() -> Result<String> {
    let prefix = PathBuf::from(env::var("OUT_DIR")?).join("luajit");
    let flags = env::var("CFLAGS").unwrap_or_default();
    env::set_var("CFLAGS", format!("{flags} -DLUAJIT_ENABLE_CHECKHOOK").trim());
    let made = luajit_src::Build::new().out_dir(&prefix).debug(false).try_build();
    env::set_var("CFLAGS", flags);
    let made = made.map_err(|e| e.to_string())?;
    let release = fs::read_to_string(prefix.join("luajit-build/src/luajit_relver.txt")).unwrap_or("0".into());
    let (lib, include) = (made.lib_dir(), made.include_dir());
    fs::create_dir_all(lib.join("pkgconfig"))?;
    fs::write(
        lib.join("pkgconfig/luajit.pc"),
        format!(
            "Name: LuaJIT\nDescription: LuaJIT, static\nVersion: 2.1.{}\nLibs: -L{} -lluajit -lm -ldl\nCflags: -I{}\n",
            release.trim(),
            lib.display(),
            include.display()
        ),
    )?;
    println!("cargo:rustc-link-search=native={}", lib.display());
    println!("cargo:rustc-link-lib=static=luajit");
    Ok(prefix.display().to_string())
}
