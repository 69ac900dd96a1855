//! The lists change while people are logged in.

use std::time::Duration;

use sallyport_testkit::oauth::{OauthClient, Tokens};
use sallyport_testkit::provider::Issuer;
use serde_json::json;

use super::{come_back, gateway, leave, signed_in};
use crate::attack::list;
use crate::support::within;

#[tokio::test]
async fn whoever_leaves_the_list_loses_session_and_tokens() {
    let idp = Issuer::start(json!({ "sub": "7", "preferred_username": "ada", "groups": ["staff"] }))
        .await
        .unwrap();
    let providers = format!("  oidc:\n{}", idp.configuration("corp"));
    let gateway = gateway("  allow_users: [\"corp:group:staff\"]\n", &providers)
        .await
        .unwrap();
    let client = gateway.client().await.unwrap();
    let resource = gateway.resource("default");
    let request = OauthClient::authorize_path(&client.parameters(&resource));
    let mut browser = gateway.browser().unwrap();
    let target = leave(&mut browser, "corp", &request).await.unwrap();
    let answer = idp.visit(&target).await.unwrap();
    let page = come_back(&mut browser, &answer).await.unwrap();
    let form = page.consent().unwrap().press("decision", "allow");
    let page = browser.submit(&page, &form).await.unwrap();
    let outside = browser.follow(page).await.unwrap().unwrap_err();
    let code = outside
        .query_pairs()
        .find(|(name, _)| name == "code")
        .unwrap()
        .1
        .into_owned();
    let tokens = Tokens::read(client.redeem(&code, &resource).await.unwrap()).unwrap();
    assert_eq!(
        signed_in(&mut browser).await.unwrap().as_deref(),
        Some("corp:ada")
    );
    let call = async || {
        let mut connection = gateway.connect().await?;
        connection.ask(&list("/mcp").bearer(&tokens.access)).await
    };
    within(Duration::from_secs(20), async || {
        Ok(call().await?.text().contains("\"echo\""))
    })
    .await
    .unwrap();
    // The next log-in brings other groups; the gateway follows the store within a second.
    idp.provider.person.lock().unwrap()["groups"] = json!(["alumni"]);
    let mut again = gateway.browser().unwrap();
    let target = leave(&mut again, "corp", "/").await.unwrap();
    let answer = idp.visit(&target).await.unwrap();
    let page = come_back(&mut again, &answer).await.unwrap();
    assert_eq!(page.answer.status(), 403);
    within(Duration::from_secs(20), async || {
        Ok(!call().await?.text().contains("\"echo\""))
    })
    .await
    .unwrap();
    assert_eq!(signed_in(&mut browser).await.unwrap(), None);
    let refreshed = client.refresh(&tokens.refresh).await.unwrap();
    assert_eq!(refreshed.status(), 400, "{refreshed:?}");
}
