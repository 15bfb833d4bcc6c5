//! Files that a configuration names.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::resolve::Context;
use crate::text::FileName;
use crate::yaml::Cursor;

/// Largest certificate or key file.
const PEM_BYTES_MAX: u64 = 1024 * 1024;

/// A file's content, bounded.
///
/// Pipes and devices are refused before they are opened: reading them could block for ever.
///
/// # Errors
///
/// What is wrong with the file, for a message.
pub(crate) fn read_regular(path: &Path, bytes_max: u64) -> Result<Vec<u8>, String> {
    let cannot = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        _ => format!("the file cannot be read: {error}"),
    };
    let metadata = fs::metadata(path).map_err(cannot)?;
    if !metadata.is_file() {
        return Err("this is not a regular file".to_owned());
    }
    let mut content = Vec::new();
    let file = File::open(path).map_err(cannot)?;
    file.take(bytes_max + 1).read_to_end(&mut content).map_err(cannot)?;
    if content.len() as u64 > bytes_max {
        return Err(format!("the file is larger than {bytes_max} bytes"));
    }
    Ok(content)
}

/// A file name against the configuration's folder.
pub(crate) fn located(name: &FileName, context: &Context<'_, '_>) -> PathBuf {
    context.base_dir.join(&name.0)
}

/// Checks that a PEM file is there and holds what it should; the file is read again where it is used.
pub(crate) fn pem(name: &FileName, label: &str, at: &Cursor<'_>, context: &mut Context<'_, '_>) -> PathBuf {
    let path = located(name, context);
    let problem = match read_regular(&path, PEM_BYTES_MAX) {
        Err(problem) => Some(problem),
        Ok(content) => {
            let text = String::from_utf8_lossy(&content);
            let has_label = text.lines().any(|line| line.starts_with("-----BEGIN ") && line.contains(label));
            (!has_label).then(|| format!("the file holds no PEM block `{label}`"))
        }
    };
    if let Some(problem) = problem {
        report(&problem, &path, at, context);
    }
    path
}

/// Reports a file's problem; where the file was looked for is the hint, since that is what is mostly wrong.
pub(crate) fn report(problem: &str, path: &Path, at: &Cursor<'_>, context: &mut Context<'_, '_>) {
    let hint = match at.is_expanded() {
        true => "relative files start from the configuration's folder".to_owned(),
        false => format!("looked for `{}`", path.display()),
    };
    context.sink.error(at, problem).hint(hint);
}
