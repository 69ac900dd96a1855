//! What can go wrong on a page, and what the person can do about it.

use axum::http::StatusCode;
use axum::http::header::{HeaderValue, RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use sallyport_core::account::ConnectError;
use sallyport_core::audit::AuditUnavailable;
use sallyport_oauth::authorize::AnchorError;
use sallyport_oauth::params::ParamsError;
use sallyport_oauth::rate::Wait;
use sallyport_store::StoreError;

use crate::body::FormError;
use crate::hashing::HashingError;
use crate::pages;

/// Why a person sees an error page. Nothing of the request is on it.
#[derive(Debug)]
pub(crate) enum Problem {
    /// The authorization request leads nowhere.
    Anchor(AnchorError),
    /// `POST /authorize` with parameters in two places (AZ-04).
    TwoPlaces,
    /// A form that is none of ours.
    BadForm,
    /// A form that was made for another browser or log-in, or by somebody else.
    ForeignForm,
    /// A form that was open for too long.
    StaleForm,
    /// A consent page that was answered before.
    Answered,
    /// Too many tries.
    Throttled(Wait),
    /// Too many log-ins at a time.
    Busy,
    /// A log-in through a provider that was not begun in this browser, or not lately.
    ForeignLogin,
    /// The provider, or the person there, said no.
    ProviderDenied(String),
    /// The provider could not be asked, or its answer does not count.
    ProviderFailed(String),
    /// A person who is not on the list.
    Unlisted {
        /// The provider, as people call it.
        provider: String,
        /// The person, as the provider calls them.
        name: String,
    },
    /// An account at a server cannot be connected.
    Connect(ConnectError),
    /// A link to a server's page that was made for somebody else.
    OthersLink,
    /// The setup link is used up, or wrong.
    SetupOver,
    /// No such page.
    NotFound,
    /// The audit trail cannot be written.
    NoAudit,
    /// Something failed here; it is in the log.
    Internal,
}

/// Logs a failure of ours once, where it is handled.
pub(crate) fn internal(operation: &'static str) -> impl Fn(StoreError) -> Problem {
    move |error| {
        tracing::error!(operation, %error, "the store failed");
        Problem::Internal
    }
}

impl Problem {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Anchor(_) | Self::TwoPlaces | Self::BadForm | Self::StaleForm | Self::Answered => {
                StatusCode::BAD_REQUEST
            }
            Self::ForeignForm
            | Self::ForeignLogin
            | Self::ProviderDenied(_)
            | Self::OthersLink
            | Self::Unlisted { .. } => StatusCode::FORBIDDEN,
            Self::Connect(error) => connect_status(error),
            Self::ProviderFailed(_) => StatusCode::BAD_GATEWAY,
            Self::Throttled(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::SetupOver => StatusCode::GONE,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Busy | Self::NoAudit => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// What happened, why, and the mend.
    fn words(&self) -> (&'static str, String, &'static str) {
        match self {
            Self::Anchor(error) => anchor_words(*error),
            Self::TwoPlaces => (
                "This request cannot be trusted",
                "It carries parameters both in its address and in its body.".into(),
                "Go back to the app and connect again. If it happens every time, the app needs an update.",
            ),
            Self::BadForm => (
                "This form could not be read",
                "Something is missing in it, or something is in it that does not belong there.".into(),
                "Go back, reload the page and try again.",
            ),
            Self::ForeignForm => (
                "This form is not from this browser",
                "It was opened in another browser or before you signed in as somebody else, or cookies are blocked here.".into(),
                "Allow cookies for this address, then go back to the app and connect again.",
            ),
            Self::StaleForm => (
                "This page was open for too long",
                "For your safety it counts for a few minutes only, and nothing was granted.".into(),
                "Go back to the app and connect again.",
            ),
            Self::Answered => (
                "You have answered this already",
                "A page of this kind counts once.".into(),
                "Go back to the app. If it is not connected, connect again.",
            ),
            Self::Throttled(wait) => (
                "Too many tries",
                format!("This address has to wait for {} s.", wait.seconds()),
                "Wait a little, then try again.",
            ),
            Self::Busy => (
                "Busy for a moment",
                "Many people are signing in at once.".into(),
                "Wait a few seconds, then try again.",
            ),
            Self::ForeignLogin
            | Self::ProviderDenied(_)
            | Self::ProviderFailed(_)
            | Self::Unlisted { .. } => self.provider_words(),
            Self::Connect(error) => connect_words(error),
            Self::OthersLink => (
                "This link was made for somebody else",
                "It was given to an app of another person, and you are signed in as yourself.".into(),
                "If it is yours, sign out here and sign in as the person whose app gave it to you. If somebody sent it to \
                 you, close this page.",
            ),
            Self::SetupOver => (
                "This setup link is over",
                "It works once, for a day, and only while there is no administrator.".into(),
                "If there is no account yet, restart the gateway: it prints a new link. Otherwise sign in, or ask your \
                 administrator for an account.",
            ),
            Self::NotFound => (
                "There is nothing here",
                "This address belongs to no page of the gateway.".into(),
                "Check the address, or start at the front page.",
            ),
            Self::NoAudit => (
                "Not possible right now",
                "The gateway cannot write its audit trail, and does nothing that it cannot record.".into(),
                "Tell the operator to look for a full or read-only disk, then try again.",
            ),
            Self::Internal => (
                "Something went wrong here",
                "It is not your fault, and the cause is in the gateway's log.".into(),
                "Try again in a moment. If it stays, tell the operator the time at which it happened.",
            ),
        }
    }

    /// The same for log-ins through a provider.
    fn provider_words(&self) -> (&'static str, String, &'static str) {
        match self {
            Self::ForeignLogin => (
                "This sign-in was not begun here",
                "It was begun in another browser, more than ten minutes ago, or is over already; or cookies are blocked here."
                    .into(),
                "Go back to the app and connect again, or sign in from the front page.",
            ),
            Self::ProviderDenied(provider) => (
                "You were not signed in",
                format!("{provider} says that the sign-in was refused or broken off."),
                "If that was not what you wanted, go back to the app and connect again.",
            ),
            Self::ProviderFailed(provider) => (
                "That sign-in did not work",
                format!("{provider} could not be asked, or gave an answer that cannot be trusted. The gateway's log says why."),
                "Try again in a moment. If it stays, tell the operator the time at which it happened.",
            ),
            Self::Unlisted { provider, name } => (
                "You are not on the list",
                format!("{provider} knows you as {name}, and this gateway does not let you in."),
                "Ask whoever runs this gateway to add you to auth.allow_users. If you have another account there, sign \
                 out of this one first.",
            ),
            _ => Self::Internal.words(),
        }
    }
}

fn connect_status(error: &ConnectError) -> StatusCode {
    match error {
        ConnectError::NoSuchServer => StatusCode::NOT_FOUND,
        ConnectError::Name | ConnectError::TooMany | ConnectError::Changed => StatusCode::BAD_REQUEST,
        ConnectError::Foreign | ConnectError::Denied => StatusCode::FORBIDDEN,
        ConnectError::Failed(_) => StatusCode::BAD_GATEWAY,
        ConnectError::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn connect_words(error: &ConnectError) -> (&'static str, String, &'static str) {
    match error {
        ConnectError::NoSuchServer => (
            "There are no accounts here",
            "This gateway has no server of that name at which you could have an account.".into(),
            "Check the address, or look at the list of servers.",
        ),
        ConnectError::Name | ConnectError::TooMany => (
            "That account cannot be made",
            format!("{error}."),
            "Go back and choose another name, or disconnect an account first.",
        ),
        ConnectError::Changed => (
            "The server has changed meanwhile",
            "It now asks for something else than the page showed, so nothing was done.".into(),
            "Go back to the list of servers and connect again.",
        ),
        ConnectError::Foreign => (
            "This log-in was not begun here",
            "It was begun in another browser or by somebody else, more than ten minutes ago, or is over already.".into(),
            "Go to the list of servers and connect again.",
        ),
        ConnectError::Denied => (
            "The account was not connected",
            "The place where you logged in says that it was refused or broken off.".into(),
            "If that was not what you wanted, connect again.",
        ),
        ConnectError::Failed(why) => (
            "The account could not be connected",
            format!("The reason: {why}."),
            "Try again in a moment. If it stays, tell the operator what stands here.",
        ),
        ConnectError::Internal => Problem::Internal.words(),
    }
}

fn anchor_words(error: AnchorError) -> (&'static str, String, &'static str) {
    match error {
        AnchorError::UnknownClient => (
            "This app is not known here",
            "Its registration with this gateway does not exist, or no longer.".into(),
            "Remove the saved sign-in from the app (often called log out or clear authentication) and connect again: \
             the app then registers anew.",
        ),
        AnchorError::Document => (
            "This app could not be looked up",
            "It names a page on the web that should describe it, and that page cannot be read or describes no app.".into(),
            "Connect again from the app in a moment. If it happens every time, tell the maker of the app.",
        ),
        AnchorError::Pushed => (
            "This request is over",
            "The app had prepared it, and it counts once and for a short time.".into(),
            "Go back to the app and connect again.",
        ),
        AnchorError::UnknownRedirect => (
            "This app asked for an unknown return address",
            "It wants the answer sent to an address that it has not registered, so nothing was sent.".into(),
            "Connect again from the app itself. If you followed a link to come here, close this page.",
        ),
        AnchorError::Params(ParamsError::TooLarge) => (
            "This request is too long",
            "Its address holds more than 16 KiB or more than 64 parameters.".into(),
            "Connect again from the app. If it happens every time, the app needs an update.",
        ),
        AnchorError::Params(ParamsError::Malformed) | AnchorError::Repeated(_) | AnchorError::Missing(_) => (
            "This request is not complete",
            format!("The app sent a sign-in request that cannot be read: {error}."),
            "Connect again from the app. If you copied the address, copy it whole.",
        ),
    }
}

impl From<ConnectError> for Problem {
    fn from(error: ConnectError) -> Self {
        Self::Connect(error)
    }
}

impl From<AnchorError> for Problem {
    fn from(error: AnchorError) -> Self {
        Self::Anchor(error)
    }
}

impl From<FormError> for Problem {
    fn from(_: FormError) -> Self {
        Self::BadForm
    }
}

impl From<AuditUnavailable> for Problem {
    fn from(error: AuditUnavailable) -> Self {
        tracing::error!(%error, "refused: nothing is done that cannot be recorded");
        Self::NoAudit
    }
}

impl From<HashingError> for Problem {
    fn from(error: HashingError) -> Self {
        match error {
            HashingError::Busy => Self::Busy,
            HashingError::Failed => {
                tracing::error!(%error, "a log-in failed");
                Self::Internal
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (title, why, mend) = self.words();
        let mut response = pages::problem(self.status(), title, &why, mend);
        let retry_after = match self {
            Self::Throttled(wait) => Some(HeaderValue::from(wait.seconds())),
            Self::Busy | Self::NoAudit => Some(HeaderValue::from(5)),
            _ => None,
        };
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(RETRY_AFTER, seconds);
        }
        response
    }
}
