//! What the hidden input `transaction` of a form carries: sealed, bound to the browser, and for one kind of form.

use std::time::Duration;

use sallyport_core::Timestamp;
use sallyport_core::capability::{Purpose, SealState};
use sallyport_oauth::consent::Transaction;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::problem::Problem;

/// How long a log-in form may stay open. Longer than a consent page: a person may have to find the password first.
pub(crate) const LOGIN_MAX_AGE: Duration = Duration::from_secs(3600);

/// What one kind of form carries.
pub(crate) trait Form: Serialize + DeserializeOwned {
    /// Part of what is authenticated, so that no form passes for another kind.
    const KIND: &'static str;
}

/// The log-in form.
#[derive(Serialize, Deserialize)]
pub(crate) struct LoginForm {
    /// Where the person goes afterwards: a checked path.
    pub(crate) next: String,
    pub(crate) opened: Timestamp,
}

impl Form for LoginForm {
    const KIND: &'static str = "login";
}

/// The form that makes the first administrator.
#[derive(Serialize, Deserialize)]
pub(crate) struct SetupForm {
    /// The secret of the setup link.
    pub(crate) link: String,
}

impl Form for SetupForm {
    const KIND: &'static str = "setup";
}

/// The button that logs out.
#[derive(Serialize, Deserialize)]
pub(crate) struct LogoutForm {}

impl Form for LogoutForm {
    const KIND: &'static str = "logout";
}

impl Form for Transaction {
    const KIND: &'static str = "consent";
}

/// The value of `transaction`. `browser` is the secret of a cookie: whoever lacks it can neither make nor use the form.
pub(crate) fn seal<F: Form>(sealer: &dyn SealState, browser: &str, form: &F) -> String {
    // A form of plain strings and numbers is always written; an empty one would open for nobody.
    let plain = serde_json::to_vec(form).unwrap_or_default();
    sealer.seal(Purpose::LoginForm, &binding::<F>(browser), &plain)
}

/// The form that was sent, if a page of ours sent it, and it was made here, of this kind, for this browser.
///
/// # Errors
/// [`Problem::ForeignForm`] for everything else.
pub(crate) fn receive<F: Form>(
    sealer: &dyn SealState,
    context: &Context,
    browser: &str,
    sealed: &str,
) -> Result<F, Problem> {
    if context.is_foreign_post() {
        return Err(Problem::ForeignForm);
    }
    let plain = sealer.open(Purpose::LoginForm, &binding::<F>(browser), sealed);
    let form = plain.and_then(|plain| serde_json::from_slice(&plain).ok());
    form.ok_or(Problem::ForeignForm)
}

fn binding<F: Form>(browser: &str) -> String {
    format!("{}:{browser}", F::KIND)
}
