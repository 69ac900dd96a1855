//! What is sealed is bound to its place: table, row and column. Moved to another, it does not open.

use sallyport_core::ServerName;

/// The root of the keyed hashes.
pub const ROOT: &str = "vault_root/1/sealed";

/// What is left of a master key.
#[must_use]
pub fn former_key(id: [u8; 8]) -> String {
    let id: String = id.iter().map(|byte| format!("{byte:02X}")).collect();
    of("vault_keys", &id)
}

/// A signing key.
#[must_use]
pub fn signing_key(kid: &str) -> String {
    of("signing_keys", kid)
}

/// A server that was added by command.
#[must_use]
pub fn server(name: &ServerName) -> String {
    of("servers", name.as_str())
}

/// The tokens of an account at a server.
#[must_use]
pub fn account(id: &str) -> String {
    of("accounts", id)
}

/// Our secret at an authorization server: nobody can make it another issuer's by moving it.
#[must_use]
pub fn server_client(issuer: &str, id: &str) -> String {
    of("server_clients", &format!("{issuer} {id}"))
}

pub(crate) fn of(table: &str, row: &str) -> String {
    format!("{table}/{row}/sealed")
}
