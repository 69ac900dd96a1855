//! Bodies of requests, read within bounds.

use axum::body::{Body, to_bytes};
use bytes::Bytes;
use sallyport_oauth::Params;
use sallyport_oauth::params::{self, ParamsError};
use thiserror::Error;

use crate::context::Context;

/// Why a form could not be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub(crate) enum FormError {
    /// Another media type, or none.
    #[error("the body must be application/x-www-form-urlencoded")]
    MediaType,
    /// The parameters.
    #[error(transparent)]
    Params(#[from] ParamsError),
}

/// The bytes of a body of at most `limit` bytes; `None` if it is longer or breaks off.
pub(crate) async fn bytes(body: Body, limit: usize) -> Option<Bytes> {
    to_bytes(body, limit).await.ok()
}

/// The parameters of a form.
pub(crate) async fn form(context: &Context, body: Body) -> Result<Params, FormError> {
    if context.media_type() != "application/x-www-form-urlencoded" {
        return Err(FormError::MediaType);
    }
    let bytes = bytes(body, params::MAX_BYTES)
        .await
        .ok_or(ParamsError::TooLarge)?;
    Ok(Params::parse(&bytes)?)
}
