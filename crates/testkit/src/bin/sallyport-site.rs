//! A site with one document, in which clients of tests describe themselves: `sallyport-site AUTHORITY_FILE`.
//!
//! Writes the certificate of its authority into the file and prints the document's URL.

use std::io::Write as _;

use anyhow::Context as _;
use sallyport_testkit::site::Site;
use serde_json::json;

const PATH: &str = "/clients/test.json";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let authority = std::env::args_os()
        .nth(1)
        .context("usage: sallyport-site AUTHORITY_FILE")?;
    let site = Site::start().await?;
    std::fs::write(authority, site.authority())?;
    let redirects = ["/callback", "/oauth/callback"].map(|path| format!("http://127.0.0.1{path}"));
    site.serve(
        PATH,
        &json!({
            "client_id": site.url(PATH),
            "client_name": "Sallyport test client",
            "redirect_uris": redirects,
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
            "application_type": "native",
        }),
    );
    writeln!(std::io::stdout(), "{}", site.url(PATH))?;
    std::future::pending().await
}
