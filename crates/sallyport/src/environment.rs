//! The process's environment, read once.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sallyport_core::Secret;
use sallyport_vault::KeyError;
use sallyport_vault::source::MasterKeySource;

/// The environment as it was at the start.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    all: Arc<BTreeMap<OsString, OsString>>,
}

impl Environment {
    /// That of this process.
    #[must_use]
    pub fn of_process() -> Self {
        Self::from(std::env::vars_os())
    }

    /// Every variable as it is, for what is handed on to programs.
    #[must_use]
    pub fn all(&self) -> Arc<BTreeMap<OsString, OsString>> {
        Arc::clone(&self.all)
    }

    /// The variables that are text.
    #[must_use]
    pub fn text(&self) -> BTreeMap<String, String> {
        let pairs = self.all.iter();
        pairs
            .filter_map(|(k, v)| Some((k.to_str()?.to_owned(), v.to_str()?.to_owned())))
            .collect()
    }

    /// A variable that is set, is text and is not empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let value = self.all.get(&OsString::from(name))?.to_str()?;
        (!value.is_empty()).then_some(value)
    }

    /// Where the master keys come from: `SALLYPORT_MASTER_KEY` and `SALLYPORT_MASTER_KEY_RETIRED`, the file that
    /// `SALLYPORT_MASTER_KEY_FILE` names, or `master.key` in the data directory.
    ///
    /// # Errors
    /// [`KeyError::RetiredAlone`] for retired keys beside a file, which would not be looked at.
    pub fn master_key(&self, data_dir: &Path) -> Result<MasterKeySource, KeyError> {
        let retired = self.get("SALLYPORT_MASTER_KEY_RETIRED");
        if let Some(active) = self.get("SALLYPORT_MASTER_KEY") {
            return Ok(MasterKeySource::Value {
                active: Secret::from(active),
                retired: Secret::from(retired.unwrap_or_default()),
            });
        }
        if retired.is_some() {
            return Err(KeyError::RetiredAlone);
        }
        let file = self.get("SALLYPORT_MASTER_KEY_FILE").map(PathBuf::from);
        Ok(MasterKeySource::File(
            file.unwrap_or_else(|| data_dir.join("master.key")),
        ))
    }
}

impl<K: Into<OsString>, V: Into<OsString>, I: IntoIterator<Item = (K, V)>> From<I> for Environment {
    fn from(pairs: I) -> Self {
        let all = pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect();
        Self { all: Arc::new(all) }
    }
}
