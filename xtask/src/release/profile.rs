//! Profiles under names that say what is in them: Cargo compares the flag that names the file, and never looks into it.

use std::fs;
use std::hash::{DefaultHasher, Hasher as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context as _;

const EXTENSION: &str = "profdata";

/// The folder of the profile.
pub(super) struct Profiles {
    folder: PathBuf,
}

impl Profiles {
    pub(super) fn of(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// The profile, and when it was made.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub(super) fn current(&self) -> anyhow::Result<Option<(PathBuf, SystemTime)>> {
        let mut all = Vec::new();
        for file in self.files()? {
            let made = fs::metadata(&file)?.modified()?;
            all.push((file, made));
        }
        Ok(all.into_iter().max_by_key(|(_, made)| *made))
    }

    /// Moves `merged` into the folder, in place of what was there. Returns where it is now, and whether that is another
    /// name than before.
    ///
    /// # Errors
    /// When it cannot be read or moved.
    pub(super) fn keep(&self, merged: &Path) -> anyhow::Result<(PathBuf, bool)> {
        let contents = fs::read(merged).with_context(|| merged.display().to_string())?;
        let file = self.folder.join(name(&contents));
        let is_new = !file.exists();
        fs::create_dir_all(&self.folder)?;
        for old in self.files()? {
            fs::remove_file(old)?;
        }
        fs::rename(merged, &file)?;
        Ok((file, is_new))
    }

    fn files(&self) -> anyhow::Result<Vec<PathBuf>> {
        if !self.folder.exists() {
            return Ok(Vec::new());
        }
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == EXTENSION) {
                files.push(path);
            }
        }
        Ok(files)
    }
}

/// The name of a profile with these contents. Another Rust may hash otherwise; it also makes another profile.
fn name(contents: &[u8]) -> String {
    let mut hash = DefaultHasher::new();
    hash.write(contents);
    format!("{:016x}.{EXTENSION}", hash.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_that_of_the_contents() {
        assert_eq!(name(b"some counts"), name(b"some counts"));
        assert_ne!(name(b"some counts"), name(b"other counts"));
        assert_eq!(name(b"").len(), 16 + 1 + EXTENSION.len());
    }

    #[test]
    fn one_profile_is_kept() -> anyhow::Result<()> {
        let folder = std::env::temp_dir().join(format!("xtask-profiles-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let profiles = Profiles::of(&folder.join("profile"));
        assert!(profiles.current()?.is_none());
        let keep = |contents: &str| {
            let merged = folder.join("merged");
            fs::write(&merged, contents)?;
            profiles.keep(&merged)
        };
        let (first, is_new) = keep("one")?;
        assert!(is_new && first.is_file());
        assert_eq!(keep("one")?, (first.clone(), false));
        let (second, is_new) = keep("two")?;
        assert!(is_new && second.is_file() && !first.exists());
        assert_eq!(profiles.current()?.map(|(file, _)| file), Some(second));
        Ok(fs::remove_dir_all(&folder)?)
    }
}
