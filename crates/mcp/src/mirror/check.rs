//! Comparing what headers say with what the body says.

use std::borrow::Cow;

use thiserror::Error;

use super::annotation::{ParamHeader, ParamType};
use super::{MAX_HEADER_VALUE, METHOD_HEADER, NAME_HEADER, VERSION_HEADER, sentinel};
use crate::error::{HEADER_MISMATCH, UNSUPPORTED_VERSION};
use crate::jsonrpc::{Envelope, Kind};
use crate::meta::{self, MetaError, ModernMeta};
use crate::method::Method;
use crate::revision::{Era, Revision};
use crate::spoken::Spoken;

/// What a request has under one header name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HeaderField<'h> {
    /// No such header.
    Missing,
    /// One, with this value.
    Single(&'h [u8]),
    /// Several.
    Repeated,
}

/// Why a modern request is refused before its method is looked at.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum MirrorError {
    /// A header stands twice.
    #[error("the header `{0}` is repeated")]
    Repeated(Cow<'static, str>),
    /// A value that is no header value, is too long, or is badly encoded.
    #[error("the header `{0}` is malformed")]
    Malformed(Cow<'static, str>),
    /// A header is absent.
    #[error("the header `{0}` is missing")]
    Missing(Cow<'static, str>),
    /// A header says another thing than the body.
    #[error("the header `{0}` does not match the body")]
    Mismatch(Cow<'static, str>),
    /// A version that is not spoken here.
    #[error("this protocol version is not supported")]
    Version {
        /// The version that was named.
        requested: String,
        /// What is spoken instead.
        spoken: Spoken,
    },
    /// The body's `_meta` is not what it has to be.
    #[error("{0}")]
    Meta(#[from] MetaError),
}

impl MirrorError {
    /// The HTTP status of the answer.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Meta(error) => error.status(),
            _ => 400,
        }
    }

    /// The JSON-RPC code of the answer.
    #[must_use]
    pub fn code(&self) -> i32 {
        match self {
            Self::Meta(_) => MetaError::CODE,
            Self::Version { .. } => UNSUPPORTED_VERSION,
            _ => HEADER_MISMATCH,
        }
    }

    /// The raw `data` of the error.
    #[must_use]
    pub fn data(&self) -> Option<String> {
        match self {
            Self::Version { requested, spoken } => {
                Some(crate::error::unsupported_version_data(requested, *spoken))
            }
            _ => None,
        }
    }
}

/// The era of a message that came over HTTP, told by itself. `initialize`, responses and whatever says nothing of
/// itself are legacy; a header or `_meta` that names a modern version, or one that may be newer than this gateway, is
/// modern.
#[must_use]
pub fn classify(version_header: HeaderField<'_>, envelope: &Envelope<'_>) -> Era {
    if envelope.kind == Kind::Response || envelope.called() == Method::Initialize {
        return Era::Legacy;
    }
    let header_is_modern = match version_header {
        HeaderField::Single(value) => is_modern_version(value.trim_ascii()),
        HeaderField::Missing | HeaderField::Repeated => false,
    };
    if header_is_modern || meta::is_modern(envelope) {
        Era::Modern
    } else {
        Era::Legacy
    }
}

/// A known modern version, or a later date.
fn is_modern_version(version: &[u8]) -> bool {
    match Revision::in_field(version) {
        Some(revision) => revision.era() == Era::Modern,
        None => {
            let date = version.len() == 10 && version.iter().all(|b| b.is_ascii_digit() || *b == b'-');
            date && version > Revision::V2026_07_28.as_str().as_bytes()
        }
    }
}

/// Checks a modern message as far as nothing of the tool needs to be known, in this order: the headers' syntax, the
/// version, header against `_meta`, what `_meta` requires, the method and the name. A notification needs no headers;
/// those it has are compared.
///
/// # Errors
/// [`MirrorError`]: the first thing that is wrong.
pub fn admit<'a, 'h>(
    get: impl Fn(&str) -> HeaderField<'h>,
    envelope: &Envelope<'a>,
    spoken: Spoken,
) -> Result<ModernMeta<'a>, MirrorError> {
    let version = plain(&get, VERSION_HEADER)?;
    let method = plain(&get, METHOD_HEADER)?;
    let name = decoded(&get, NAME_HEADER)?;
    let meta = meta::read(envelope);
    let in_body = envelope
        .meta()
        .and_then(|m| m.text(crate::jsonrpc::MetaKey::ProtocolVersion));
    let named = version.or(in_body.as_deref());
    if let Some(named) = named.filter(|v| !is_spoken(v, spoken)) {
        // A legacy version in the header of a request that is modern by its body is a mismatch, not an unknown version.
        let contradicted = version.is_some() && in_body.as_deref().is_some_and(|body| body != named);
        if !(contradicted && Revision::parse(named).is_some()) {
            return Err(MirrorError::Version {
                requested: named.to_owned(),
                spoken,
            });
        }
    }
    compare(VERSION_HEADER, version, in_body.as_deref(), envelope.kind)?;
    let meta = meta?;
    compare(METHOD_HEADER, method, Some(envelope.method_name()), envelope.kind)?;
    if let Some(source) = envelope.called().name_source() {
        let body = envelope.params.as_ref().and_then(|p| p.text(source));
        compare(
            NAME_HEADER,
            name.as_deref(),
            body.as_ref().map(|t| &*t.value),
            envelope.kind,
        )?;
    }
    Ok(meta)
}

/// Checks a modern message of a transport without headers: the version, then what `_meta` requires (2026-07-28, stdio).
///
/// # Errors
/// [`MirrorError::Version`] or [`MirrorError::Meta`].
pub fn admit_without_headers<'a>(
    envelope: &Envelope<'a>,
    spoken: Spoken,
) -> Result<ModernMeta<'a>, MirrorError> {
    let named = envelope
        .meta()
        .and_then(|m| m.text(crate::jsonrpc::MetaKey::ProtocolVersion));
    if let Some(named) = named.filter(|v| !is_spoken(v, spoken)) {
        return Err(MirrorError::Version {
            requested: named.into_owned(),
            spoken,
        });
    }
    Ok(meta::read(envelope)?)
}

/// Whether a version is a modern one that is on.
fn is_spoken(version: &str, spoken: Spoken) -> bool {
    let mut modern = Revision::MODERN.iter().filter(|revision| spoken.has(**revision));
    modern.any(|revision| revision.as_str() == version)
}

/// Compares one header with what the body says, if it says anything. What the body lacks is for others to complain of.
fn compare(
    name: &'static str,
    header: Option<&str>,
    body: Option<&str>,
    kind: Kind,
) -> Result<(), MirrorError> {
    match (header, body) {
        (Some(header), Some(body)) if header != body => Err(MirrorError::Mismatch(name.into())),
        (None, Some(_)) if kind == Kind::Request => Err(MirrorError::Missing(name.into())),
        _ => Ok(()),
    }
}

fn raw<'h>(get: &impl Fn(&str) -> HeaderField<'h>, name: &str) -> Result<Option<&'h [u8]>, MirrorError> {
    match get(name) {
        HeaderField::Missing => Ok(None),
        HeaderField::Repeated => Err(MirrorError::Repeated(name.to_owned().into())),
        HeaderField::Single(value) if value.len() > MAX_HEADER_VALUE => {
            Err(MirrorError::Malformed(name.to_owned().into()))
        }
        HeaderField::Single(value) => Ok(Some(value)),
    }
}

/// The value of a header that is never encoded.
fn plain<'h>(
    get: &impl Fn(&str) -> HeaderField<'h>,
    name: &'static str,
) -> Result<Option<&'h str>, MirrorError> {
    let Some(value) = raw(get, name)? else {
        return Ok(None);
    };
    let text = std::str::from_utf8(value)
        .unwrap_or_default()
        .trim_matches([' ', '\t']);
    if text.is_empty() || !text.bytes().all(|b| matches!(b, 0x21..=0x7e)) {
        return Err(MirrorError::Malformed(name.into()));
    }
    Ok(Some(text))
}

/// The value of a header that may be encoded.
fn decoded<'h>(
    get: &impl Fn(&str) -> HeaderField<'h>,
    name: &str,
) -> Result<Option<Cow<'h, str>>, MirrorError> {
    match raw(get, name)? {
        None => Ok(None),
        Some(value) => match sentinel::decode(value) {
            Some(text) => Ok(Some(text)),
            None => Err(MirrorError::Malformed(name.to_owned().into())),
        },
    }
}

/// Compares the headers of a tool's mirrored arguments with the raw `arguments` of the call. Other `Mcp-Param-*` headers
/// are nobody's business here.
///
/// # Errors
/// [`MirrorError`]: the first thing that is wrong.
pub fn check_params<'h>(
    get: impl Fn(&str) -> HeaderField<'h>,
    arguments: Option<&[u8]>,
    param_headers: &[ParamHeader],
) -> Result<(), MirrorError> {
    for param in param_headers {
        let name = param.header();
        let header = decoded(&get, &name)?;
        let argument = param
            .argument(arguments.unwrap_or(b"{}"))
            .map_err(|_| MirrorError::Mismatch(name.clone().into()))?;
        match (header, argument) {
            (None, None) => {}
            (None, Some(_)) => return Err(MirrorError::Missing(name.into())),
            (Some(header), Some(raw)) if same_value(param.kind, &header, raw) => {}
            (Some(_), _) => return Err(MirrorError::Mismatch(name.into())),
        }
    }
    Ok(())
}

/// Whether a header's value is the argument's. An argument of another type than the schema says is compared as what it
/// is: the server will refuse it.
fn same_value(kind: ParamType, header: &str, raw: &[u8]) -> bool {
    match raw.first() {
        Some(b'"') => crate::json::decode(raw).is_some_and(|value| value == header),
        Some(b't' | b'f') => header.as_bytes() == raw,
        Some(b'-' | b'0'..=b'9') => {
            let Ok(text) = std::str::from_utf8(raw) else {
                return false;
            };
            header == text
                || (kind == ParamType::Integer
                    && integer(header).is_some()
                    && integer(header) == integer(text))
        }
        _ => false,
    }
}

/// A whole number, also when written `42.0` or `4.2e1`, within ±(2^53−1).
fn integer(text: &str) -> Option<i64> {
    const LIMIT: i64 = (1 << 53) - 1;
    if text.len() > 32 || crate::json::check(text.as_bytes(), 1).is_err() {
        return None;
    }
    if let Ok(exact) = text.parse::<i64>() {
        return (-LIMIT..=LIMIT).contains(&exact).then_some(exact);
    }
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let exponent: i32 = exponent.parse().ok().filter(|e| (-32..=32).contains(e))?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let shift = exponent - i32::try_from(fraction.len()).ok()?;
    let scale = 10i128.checked_pow(shift.unsigned_abs())?;
    let value = if shift >= 0 {
        digits.checked_mul(scale)?
    } else if digits % scale == 0 {
        digits / scale
    } else {
        return None;
    };
    i64::try_from(value).ok().filter(|v| (-LIMIT..=LIMIT).contains(v))
}

/// All of it: what [`admit`] compares where everything is spoken, and the arguments.
///
/// # Errors
/// [`MirrorError`]: the first thing that is wrong.
pub fn check<'a, 'h>(
    get: impl Fn(&str) -> HeaderField<'h>,
    envelope: &Envelope<'a>,
    param_headers: &[ParamHeader],
) -> Result<ModernMeta<'a>, MirrorError> {
    let meta = admit(&get, envelope, Spoken::ALL)?;
    let arguments = envelope.params.as_ref().and_then(|p| p.arguments());
    check_params(&get, arguments, param_headers)?;
    Ok(meta)
}
