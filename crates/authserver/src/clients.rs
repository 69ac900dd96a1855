//! The client that an identifier stands for: a registration, or the document at its URL.

use sallyport_core::ClientId;
use sallyport_oauth::authorize::AnchorError;
use sallyport_oauth::client_document;
use sallyport_oauth::flight::{Point, Refused, Rule};
use sallyport_oauth::model::Client;
use sallyport_store::StoreError;

use crate::app::App;
use crate::context::Context;
use crate::documents::FindError;
use crate::problem::{self, Problem};
use crate::token::{self, ApiError};

/// Why a client could not be looked up.
pub(crate) enum LookupError {
    Store(StoreError),
    Document(FindError),
}

/// Looks the client up, wherever it is described.
pub(crate) async fn find(app: &App, context: &Context, id: &ClientId) -> Result<Option<Client>, LookupError> {
    if client_document::is_document(id) {
        if !context.settings.client_documents {
            refused(context, id, Rule::DocumentRefused);
            return Ok(None);
        }
        let found = app.documents.find(context, id).await;
        return found.map(Some).map_err(|error| {
            tracing::info!(client = %id, reason = %error, "a client's document does not count");
            app.count("client_document");
            refused(context, id, rule(&error));
            LookupError::Document(error)
        });
    }
    app.parts.store.client(id).await.map_err(LookupError::Store)
}

fn refused(context: &Context, id: &ClientId, rule: Rule) {
    context.saw(|keys| (keys.client(id), Refused::at(Point::Document, rule).into()));
}

fn rule(error: &FindError) -> Rule {
    match error {
        FindError::Document(error) => error.into(),
        FindError::Unlisted => Rule::DocumentRefused,
        FindError::Unreachable(_) => Rule::DocumentUnreachable,
        FindError::Throttled(_) => Rule::DocumentThrottled,
    }
}

impl From<LookupError> for Problem {
    fn from(error: LookupError) -> Self {
        match error {
            LookupError::Store(error) => problem::internal("find the client")(error),
            LookupError::Document(FindError::Throttled(wait)) => Self::Throttled(wait),
            LookupError::Document(_) => AnchorError::Document.into(),
        }
    }
}

impl From<LookupError> for ApiError {
    fn from(error: LookupError) -> Self {
        match error {
            LookupError::Store(error) => token::internal("find the client")(error),
            LookupError::Document(FindError::Throttled(wait)) => Self::too_many(wait),
            // Not the client's fault: it should come again and not forget its tokens.
            LookupError::Document(FindError::Unreachable(_)) => {
                Self::unavailable("the client's metadata document cannot be fetched now", 30)
            }
            LookupError::Document(_) => {
                Self::invalid_client("the client's metadata document does not count".to_owned(), false)
            }
        }
    }
}
