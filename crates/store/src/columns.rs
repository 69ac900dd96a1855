//! Columns as the types of the model: the only place where rows are read.

use sallyport_core::{Resource, ScopeSet, Thumbprint, Timestamp};
use sallyport_oauth::model::Digest;
use serde::de::DeserializeOwned;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use crate::StoreError;

pub(crate) trait Columns {
    fn text(&self, column: &'static str) -> Result<String, StoreError>;
    fn maybe_text(&self, column: &'static str) -> Result<Option<String>, StoreError>;
    fn flag(&self, column: &'static str) -> Result<bool, StoreError>;
    fn number(&self, column: &'static str) -> Result<u64, StoreError>;
    fn bytes(&self, column: &'static str) -> Result<Vec<u8>, StoreError>;
    fn maybe_bytes(&self, column: &'static str) -> Result<Option<Vec<u8>>, StoreError>;
    fn time(&self, column: &'static str) -> Result<Timestamp, StoreError>;
    fn maybe_time(&self, column: &'static str) -> Result<Option<Timestamp>, StoreError>;
    fn digest(&self, column: &'static str) -> Result<Digest, StoreError>;
    fn maybe_digest(&self, column: &'static str) -> Result<Option<Digest>, StoreError>;
    fn maybe_key(&self, column: &'static str) -> Result<Option<Thumbprint>, StoreError>;
    fn resource(&self, column: &'static str) -> Result<Resource, StoreError>;
    fn scopes(&self, column: &'static str) -> Result<ScopeSet, StoreError>;
    fn json<T: DeserializeOwned>(&self, column: &'static str) -> Result<T, StoreError>;
}

impl Columns for SqliteRow {
    fn text(&self, column: &'static str) -> Result<String, StoreError> {
        Ok(self.try_get(column)?)
    }

    fn maybe_text(&self, column: &'static str) -> Result<Option<String>, StoreError> {
        Ok(self.try_get(column)?)
    }

    fn flag(&self, column: &'static str) -> Result<bool, StoreError> {
        Ok(self.try_get::<i64, _>(column)? != 0)
    }

    fn number(&self, column: &'static str) -> Result<u64, StoreError> {
        u64::try_from(self.try_get::<i64, _>(column)?).map_err(|_| StoreError::Corrupt { what: column })
    }

    fn bytes(&self, column: &'static str) -> Result<Vec<u8>, StoreError> {
        Ok(self.try_get(column)?)
    }

    fn maybe_bytes(&self, column: &'static str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.try_get(column)?)
    }

    fn time(&self, column: &'static str) -> Result<Timestamp, StoreError> {
        Ok(Timestamp::from_millis(self.try_get(column)?))
    }

    fn maybe_time(&self, column: &'static str) -> Result<Option<Timestamp>, StoreError> {
        Ok(self
            .try_get::<Option<i64>, _>(column)?
            .map(Timestamp::from_millis))
    }

    fn digest(&self, column: &'static str) -> Result<Digest, StoreError> {
        self.maybe_digest(column)?
            .ok_or(StoreError::Corrupt { what: column })
    }

    fn maybe_digest(&self, column: &'static str) -> Result<Option<Digest>, StoreError> {
        let bytes: Option<&[u8]> = self.try_get(column)?;
        bytes
            .map(|b| b.try_into().map_err(|_| StoreError::Corrupt { what: column }))
            .transpose()
    }

    fn maybe_key(&self, column: &'static str) -> Result<Option<Thumbprint>, StoreError> {
        Ok(self.try_get::<Option<String>, _>(column)?.map(Thumbprint::new))
    }

    fn resource(&self, column: &'static str) -> Result<Resource, StoreError> {
        Resource::parse(self.try_get(column)?).map_err(|_| StoreError::Corrupt { what: column })
    }

    fn scopes(&self, column: &'static str) -> Result<ScopeSet, StoreError> {
        Ok(ScopeSet::parse(self.try_get(column)?))
    }

    fn json<T: DeserializeOwned>(&self, column: &'static str) -> Result<T, StoreError> {
        serde_json::from_str(self.try_get(column)?).map_err(|_| StoreError::Corrupt { what: column })
    }
}
