//! A gateway, and a site that it may reach, on which clients keep the documents that describe them.

use sallyport_testkit::front::PASSWORD;
use sallyport_testkit::gateway::TestGateway;
use sallyport_testkit::oauth::{OauthClient, REDIRECT, Tokens};
use sallyport_testkit::site::Site;
use serde_json::json;

/// A gateway with the administrator `ada`, and a site.
pub(super) struct Documented {
    pub(super) gateway: TestGateway,
    pub(super) site: Site,
    _authority: tempfile::TempDir,
}

impl Documented {
    /// Starts both; `more` is added to the gateway's configuration.
    pub(super) async fn start(more: &str) -> anyhow::Result<Self> {
        let site = Site::start().await?;
        let folder = tempfile::tempdir()?;
        let authority = folder.path().join("authority.pem");
        std::fs::write(&authority, site.authority())?;
        let gateway = TestGateway::start(&format!("{}{more}", site.egress(&authority))).await?;
        gateway.add_user("ada", true).await?;
        Ok(Self {
            gateway,
            site,
            _authority: folder,
        })
    }

    /// A client with a document logs in.
    pub(super) async fn log_in(&self) -> anyhow::Result<Tokens> {
        const PATH: &str = "/client.json";
        let id = self.site.url(PATH);
        let document = json!({ "client_id": &id, "client_name": "c", "redirect_uris": [REDIRECT] });
        self.site.serve(PATH, &document);
        let client = OauthClient::known(self.gateway.address(), self.gateway.host(), &id);
        let mut browser = self.gateway.browser()?;
        let resource = self.gateway.resource("default");
        client.log_in(&mut browser, &resource, ("ada", PASSWORD)).await
    }
}
