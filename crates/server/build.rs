//! Puts the dashboard's files into the program: all that a browser can ask for, compressed once and for all, and a page that
//! names every module at its beginning, so that none waits until another one has asked for it.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

/// Where the page names its modules.
const MODULES: &str = "<!-- modules -->\n";

/// Kinds of files that are served, and as what.
const KINDS: [(&str, &str); 5] = [
    ("html", "text/html; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("js", JS),
    ("mjs", JS),
    ("svg", "image/svg+xml"),
];

const JS: &str = "text/javascript; charset=utf-8";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=../../ui");
    println!("cargo::rerun-if-changed=build.rs");
    let root = Path::new(&std::env::var("CARGO_MANIFEST_DIR")?).join("../../ui");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let mut files = Vec::new();
    find(&root, &root, &mut files)?;
    files.sort();
    let mut table = String::from("[\n");
    for (number, (name, content_type)) in files.iter().enumerate() {
        let mut bytes = fs::read(root.join(name))?;
        if name == "index.html" {
            bytes = with_modules(&String::from_utf8(bytes)?, &files)?.into_bytes();
        }
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&bytes)?;
        let place = out.join(format!("{number}.gz"));
        fs::write(&place, encoder.finish()?)?;
        writeln!(table, "    ({name:?}, {content_type:?}, include_bytes!({place:?}) as &[u8]),")?;
    }
    table.push_str("]\n");
    fs::write(out.join("assets.rs"), table)?;
    Ok(())
}

/// Names of the files to serve, with `/` between folders, and their types.
fn find(root: &Path, folder: &Path, files: &mut Vec<(String, &str)>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            find(root, &path, files)?;
            continue;
        }
        let end = path.extension().unwrap_or_default();
        if let Some((_, content_type)) = KINDS.iter().find(|(kind, _)| end == *kind) {
            let parts: Vec<_> = path.strip_prefix(root)?.iter().map(|part| part.to_string_lossy()).collect();
            files.push((parts.join("/"), content_type));
        }
    }
    Ok(())
}

/// The page with a link for each module, the largest file first: it takes longest.
fn with_modules(page: &str, files: &[(String, &str)]) -> Result<String, Box<dyn Error>> {
    if !page.contains(MODULES) {
        return Err(
            format!("ui/index.html has no line `{}`: the modules are named there", MODULES.trim()).into()
        );
    }
    let (vendor, own): (Vec<_>, Vec<_>) =
        files.iter().filter(|(_, kind)| *kind == JS).partition(|(name, _)| name.starts_with("vendor/"));
    let mut links = String::new();
    for (name, _) in vendor.iter().chain(&own) {
        writeln!(links, "<link rel=\"modulepreload\" href=\"/ui/{name}\">")?;
    }
    Ok(page.replace(MODULES, &links))
}
