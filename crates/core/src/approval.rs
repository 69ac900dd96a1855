//! Calls that a person has to say yes to, outside of the client that makes them: a model cannot answer there.

use crate::{ClientId, ServerName, Timestamp, UserId};

/// A call that needs a yes. The yes counts for all of this together, and once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wanted<'a> {
    /// In whose name it is made; this person alone can say yes.
    pub user: &'a UserId,
    /// Through which client.
    pub client: &'a ClientId,
    /// At which endpoint: `profile/default`.
    pub endpoint: &'a str,
    /// At which server.
    pub server: &'a ServerName,
    /// The tool, by the name that the client used.
    pub tool: &'a str,
    /// Its raw arguments, to the byte.
    pub arguments: &'a [u8],
}

/// What has become of such a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Word {
    /// The person said yes. It is used up.
    Yes,
    /// The person said no. That is used up, too: the same call asks again.
    No,
    /// The person has to answer at the page of this id.
    Ask(String),
    /// Nobody can be asked: too much waits already, or the arguments are too long to be shown.
    Impossible,
}

/// Knows what people said of calls.
pub trait AskPerson: Send + Sync {
    /// What has become of a call; asks if nothing has.
    fn ask(&self, wanted: Wanted<'_>, now: Timestamp) -> Word;
}

/// Whoever calls is the person who would be asked: a command.
#[derive(Clone, Copy, Debug, Default)]
pub struct SaidAlready;

impl AskPerson for SaidAlready {
    fn ask(&self, _: Wanted<'_>, _: Timestamp) -> Word {
        Word::Yes
    }
}
