//! `login`, `accounts`: accounts at the servers behind. A browser connects them; nothing here opens a token.

use std::collections::HashMap;
use std::time::Duration;

use sallyport_core::UserId;
use sallyport_store::StoredAccount;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use url::form_urlencoded::Serializer;

use super::Failure;
use super::args::LoginArgs;
use super::output;
use super::verb::Run;
use crate::base::Base;
use crate::config::server_auth::Accounts;

/// How long a log-in is waited for: as long as it counts.
const PATIENCE: Duration = Duration::from_secs(600);

/// How often it is looked for.
const ASK: Duration = Duration::from_millis(250);

/// Says where to go with the browser, and waits until the account is connected.
pub(super) async fn login(run: &Run, args: &LoginArgs) -> Result<(), Failure> {
    let base = run.base().await?;
    let waited = connected(run, &base, args).await;
    base.store.close().await;
    waited
}

async fn connected(run: &Run, base: &Base, args: &LoginArgs) -> Result<(), Failure> {
    let server = &args.server;
    let configured = base.config.root.servers.get(server.as_str());
    let stored = base.stored_servers().await?;
    let own = configured.is_some_and(|row| row.value.auth.accounts.value == Accounts::Gateway);
    if own {
        return Err(Failure::Usage(format!(
            "nobody connects an account at `{server}`: the gateway logs in there by itself"
        )));
    }
    if configured.is_none() && !stored.iter().any(|(name, _)| name == server) {
        return Err(Failure::Usage(format!(
            "there is no server `{server}`; `sallyport list` shows those that there are"
        )));
    }
    let before = base.store.accounts().await?;
    let origin = base.public_origin(base.config.root.listen.value.0);
    let query = Serializer::new(String::new())
        .append_pair("account", &args.account)
        .finish();
    let url = format!("{origin}/connect/{server}?{query}");
    output::note("open this in a browser, log in and connect the account:");
    if run.is_json() {
        output::note(&url);
    } else {
        output::text(&url)?;
    }
    if args.no_wait {
        return Ok(());
    }
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        let now = base.store.accounts().await?;
        let fresh = now.iter().find(|account| is_fresh(account, args, &before));
        if let Some(account) = fresh {
            let names = names(base).await?;
            if run.is_json() {
                return Ok(output::json(&described(account, &names))?);
            }
            output::note(&format!(
                "connected: `{}` at `{server}`, of {}",
                account.name,
                owner(account, &names)
            ));
            return Ok(());
        }
        sleep(ASK).await;
    }
    Err(Failure::failed("nothing was connected within ten minutes"))
}

/// Whether the account was connected since.
fn is_fresh(account: &StoredAccount, args: &LoginArgs, before: &[StoredAccount]) -> bool {
    let same = account.server == args.server && account.name == args.account && account.problem.is_none();
    let known = before.iter().find(|known| known.id == account.id);
    same && known.is_none_or(|known| known.problem.is_some() || known.version < account.version)
}

/// Lists all accounts.
pub(super) async fn list(run: &Run) -> Result<(), Failure> {
    let base = run.base().await?;
    let listed = async { Ok::<_, Failure>((base.store.accounts().await?, names(&base).await?)) };
    let listed = listed.await;
    base.store.close().await;
    let (accounts, names) = listed?;
    if run.is_json() {
        let all: Vec<Value> = accounts
            .iter()
            .map(|account| described(account, &names))
            .collect();
        return Ok(output::json(&all)?);
    }
    let rows = accounts.iter().map(|account| {
        vec![
            account.server.to_string(),
            owner(account, &names),
            account.name.clone(),
            state(account).to_owned(),
            account.issuer.clone(),
            account.problem.clone().unwrap_or_default(),
        ]
    });
    let headings = ["SERVER", "WHOSE", "NAME", "STATE", "THROUGH", "WHY"];
    Ok(output::text(&output::table(
        &headings,
        &rows.collect::<Vec<_>>(),
    ))?)
}

async fn names(base: &Base) -> Result<HashMap<UserId, String>, Failure> {
    let users = base.store.users().await?;
    Ok(users.into_iter().map(|user| (user.id, user.name)).collect())
}

fn owner(account: &StoredAccount, names: &HashMap<UserId, String>) -> String {
    let Some(owner) = &account.owner else {
        return "all".to_owned();
    };
    names.get(owner).cloned().unwrap_or_else(|| owner.to_string())
}

fn state(account: &StoredAccount) -> &'static str {
    if account.problem.is_some() {
        "needs connecting"
    } else {
        "connected"
    }
}

fn described(account: &StoredAccount, names: &HashMap<UserId, String>) -> Value {
    let user = account.owner.as_ref().map(|_| owner(account, names));
    json!({
        "server": account.server,
        "user": user,
        "name": account.name,
        "state": state(account),
        "problem": account.problem,
        "in_use": account.in_use,
        "issuer": account.issuer,
        "resource": account.resource,
        "scopes": account.scopes,
        "connected": output::when(account.created),
    })
}

#[cfg(test)]
mod tests {
    use sallyport_core::{ServerName, Timestamp};

    use super::*;

    #[test]
    fn only_what_was_connected_since_ends_the_wait() {
        let server = |name: &str| ServerName::parse(name).expect("a name");
        let args = LoginArgs {
            server: server("docs"),
            account: "work".to_owned(),
            no_wait: false,
        };
        let account = |id: &str, version, problem: Option<&str>| StoredAccount {
            id: id.to_owned(),
            server: server("docs"),
            owner: None,
            name: "work".to_owned(),
            issuer: String::new(),
            resource: String::new(),
            client: String::new(),
            scopes: Vec::new(),
            missing: Vec::new(),
            problem: problem.map(str::to_owned),
            in_use: true,
            due: Timestamp::EPOCH,
            sealed: Vec::new(),
            version,
            created: Timestamp::EPOCH,
        };
        let before = [account("a", 3, None), account("b", 1, Some("over"))];
        for (now, fresh) in [
            (account("a", 3, None), false),
            (account("a", 4, None), true),
            (account("b", 1, Some("over")), false),
            (account("b", 2, None), true),
            (account("c", 1, None), true),
            (account("c", 1, Some("over")), false),
        ] {
            assert_eq!(is_fresh(&now, &args, &before), fresh, "{now:?}");
        }
        let other = StoredAccount {
            server: server("other"),
            ..account("c", 1, None)
        };
        assert!(!is_fresh(&other, &args, &before));
    }
}
