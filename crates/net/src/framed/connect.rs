//! The client's side.

use sallyport_core::fault::{Blame, Fault};
use tokio::time::timeout;

use super::Options;
use super::codec::{Kind, VERSION};
use super::conversation::{Framed, words};
use super::hello::{Agreed, AuthFrame, Versions};
use crate::carrier::{CarrierError, Terms, duplex};
use crate::egress::Transport;
use crate::http1::Trouble;
use crate::{Duplex, Target};

/// Connects to a server (`tcp` or `tls`), agrees on the version, and shows a token where there is one. Whether the token
/// is good is seen from what follows: the server says so only by ending the conversation.
///
/// # Errors
/// Always before anything of MCP was sent, so that a repetition is safe. The source is a [`Trouble`], or a
/// [`CarrierError`] where the server does not speak this protocol.
pub async fn connect(target: &Target, auth: Option<&AuthFrame>, options: Options) -> Result<Duplex, Fault> {
    const OPERATION: &str = "open the framed connection";
    let opened = timeout(options.hello, Box::pin(open(target, auth))).await;
    let mut framed = match opened {
        Ok(opened) => opened.map_err(|failure| match failure {
            Failure::Trouble(trouble) => Fault::unreached(OPERATION, trouble),
            Failure::Carrier(error) => Fault::unreached(OPERATION, error),
        })?,
        Err(_) => return Err(Fault::unreached(OPERATION, Trouble::Timeout("version"))),
    };
    framed.open(options.message_bytes, None);
    Ok(duplex(
        framed,
        Terms {
            blame: Blame::Upstream,
            pace: options.pace,
            reason: None,
        },
    ))
}

enum Failure {
    Trouble(Trouble),
    Carrier(CarrierError),
}

impl<E: Into<CarrierError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Carrier(error.into())
    }
}

async fn open(target: &Target, auth: Option<&AuthFrame>) -> Result<Framed<Transport>, Failure> {
    let unreached = |error| Failure::Trouble(Trouble::Egress(error));
    let stream = target.egress().connect(target).await.map_err(unreached)?;
    let mut framed = Framed::new(stream);
    let offer = serde_json::to_vec(&Versions::ours()).unwrap_or_default();
    framed.queue(Kind::Negotiate, &offer);
    framed.flush().await?;
    let frame = framed.read().await?.ok_or(CarrierError::Cut)?;
    match frame.kind {
        Kind::Agreed => {
            let agreed = serde_json::from_slice(&frame.payload).ok();
            if agreed
                != Some(Agreed {
                    agreed_version: VERSION,
                })
            {
                return Err(CarrierError::Offence("no version was agreed on".to_owned()).into());
            }
        }
        Kind::Error => return Err(CarrierError::Reported(words(&frame.payload)).into()),
        _ => return Err(CarrierError::Offence("a frame out of turn".to_owned()).into()),
    }
    if let Some(auth) = auth {
        framed.queue(Kind::Auth, &auth.encode());
        framed.flush().await?;
    }
    Ok(framed)
}
