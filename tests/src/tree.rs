//! What lies in this checkout.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Every file below a folder, which is named from the checkout's own.
pub fn files(folder: &str) -> Vec<PathBuf> {
    below(&root().join(folder))
}

/// The checkout's own folder.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { below(&path) } else { vec![path] }).collect()
}
