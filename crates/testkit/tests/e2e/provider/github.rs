//! GitHub.

use sallyport_testkit::oauth::{OauthClient, Tokens};
use sallyport_testkit::provider::{Github, Provider};
use url::Url;

use super::{come_back, encode, gateway, leave, signed_in};
use crate::attack::{is_page, list};
use crate::support::{PATIENCE, within};

const OCTOCAT: (u64, &str) = (583_231, "octocat");

async fn stand_in() -> anyhow::Result<Provider<Github>> {
    Github::start(&[OCTOCAT, (1, "mojombo")]).await
}

#[tokio::test]
async fn a_listed_person_logs_in_through_github_and_a_client_gets_tokens() {
    let github = stand_in().await.unwrap();
    let gateway = gateway("  allow_users: [octocat]\n", &github.configuration())
        .await
        .unwrap();
    for forms in [false, true] {
        *github.provider.forms.lock().unwrap() = forms;
        let client = gateway.client().await.unwrap();
        let resource = gateway.resource("default");
        let request = OauthClient::authorize_path(&client.parameters(&resource));
        let mut browser = gateway.browser().unwrap();
        let target = leave(&mut browser, "github", &request).await.unwrap();
        let asked = Url::parse(&target).unwrap();
        let names: Vec<_> = asked.query_pairs().map(|(name, _)| name.into_owned()).collect();
        let all = [
            "client_id",
            "redirect_uri",
            "state",
            "code_challenge",
            "code_challenge_method",
        ];
        assert_eq!(names, all, "no scope is asked for that nobody needs");
        let answer = github.press(&target, Some("octocat")).await.unwrap();
        let page = come_back(&mut browser, &answer).await.unwrap();
        let form = page.consent().unwrap().press("decision", "allow");
        assert!(
            page.answer.text().contains("github:octocat"),
            "{}",
            page.answer.text()
        );
        let page = browser.submit(&page, &form).await.unwrap();
        let outside = browser.follow(page).await.unwrap().unwrap_err();
        let code = outside
            .query_pairs()
            .find(|(name, _)| name == "code")
            .unwrap()
            .1
            .into_owned();
        let tokens = Tokens::read(client.redeem(&code, &resource).await.unwrap()).unwrap();
        let mut connection = gateway.connect().await.unwrap();
        let listed = connection
            .ask(&list("/mcp").bearer(&tokens.access))
            .await
            .unwrap();
        assert_eq!(listed.status(), 200, "{listed:?}");
    }
}

#[tokio::test]
async fn people_outside_the_list_are_turned_away_with_their_name_and_the_mend() {
    let github = stand_in().await.unwrap();
    for (lists, name) in [("  allow_users: [octocat]\n", "mojombo"), ("", "octocat")] {
        let gateway = gateway(lists, &github.configuration()).await.unwrap();
        let mut browser = gateway.browser().unwrap();
        let target = leave(&mut browser, "github", "/").await.unwrap();
        let answer = github.press(&target, Some(name)).await.unwrap();
        let page = come_back(&mut browser, &answer).await.unwrap();
        assert!(is_page(&page.answer, 403), "{:?}", page.answer);
        let html = page.answer.text();
        assert!(
            html.contains(&format!("{name} (github:id:")) && html.contains("auth.allow_users"),
            "{html}"
        );
        assert_eq!(signed_in(&mut browser).await.unwrap(), None);
        let store = gateway.store().await.unwrap();
        assert!(
            store.users().await.unwrap().is_empty(),
            "nothing is kept of a stranger"
        );
    }
}

#[tokio::test]
async fn a_renamed_login_keeps_its_person_and_lets_no_other_in() {
    let github = stand_in().await.unwrap();
    let gateway = gateway("  allow_users: [octocat]\n", &github.configuration())
        .await
        .unwrap();
    let mut browser = gateway.browser().unwrap();
    let target = leave(&mut browser, "github", "/").await.unwrap();
    let answer = github.press(&target, Some("octocat")).await.unwrap();
    come_back(&mut browser, &answer).await.unwrap();
    assert_eq!(
        signed_in(&mut browser).await.unwrap().as_deref(),
        Some("github:octocat")
    );
    // The first gives the name up, a stranger takes it.
    github
        .provider
        .change(OCTOCAT.0, |account| account.login = "octopus".into());
    github
        .provider
        .change(1, |account| account.login = "octocat".into());
    let mut stranger = gateway.browser().unwrap();
    let target = leave(&mut stranger, "github", "/").await.unwrap();
    let answer = github.press(&target, Some("octocat")).await.unwrap();
    let page = come_back(&mut stranger, &answer).await.unwrap();
    assert!(is_page(&page.answer, 403), "{:?}", page.answer);
    let mut again = gateway.browser().unwrap();
    let target = leave(&mut again, "github", "/").await.unwrap();
    let answer = github.press(&target, Some("octopus")).await.unwrap();
    come_back(&mut again, &answer).await.unwrap();
    assert_eq!(
        signed_in(&mut again).await.unwrap().as_deref(),
        Some("github:octocat")
    );
}

#[tokio::test]
async fn data_from_github_is_not_kept_beyond_number_and_login() {
    let github = stand_in().await.unwrap();
    github.provider.change(OCTOCAT.0, |account| {
        account.organisations = vec!["secret-org".into()]
    });
    let gateway = gateway("  allow_users: [octocat]\n", &github.configuration())
        .await
        .unwrap();
    let mut browser = gateway.browser().unwrap();
    let target = leave(&mut browser, "github", "/").await.unwrap();
    let answer = github.press(&target, Some("octocat")).await.unwrap();
    come_back(&mut browser, &answer).await.unwrap();
    let data = gateway.data_dir();
    for entry in std::fs::read_dir(data).unwrap() {
        let entry = entry.unwrap();
        if !entry.file_type().unwrap().is_file() {
            continue;
        }
        let bytes = std::fs::read(entry.path()).unwrap();
        for word in [
            "person@example.com",
            "A Person",
            "secret-org",
            "gho_",
            Github::CLIENT_SECRET,
        ] {
            let found = bytes.windows(word.len()).any(|window| window == word.as_bytes());
            assert!(!found, "{word} in {:?}", entry.file_name());
        }
    }
}

#[tokio::test]
async fn saying_no_at_github_and_its_errors_are_pages_with_the_mend() {
    let github = stand_in().await.unwrap();
    let configuration = github.configuration();
    let right = gateway("  allow_users: [octocat]\n", &configuration)
        .await
        .unwrap();
    let mut browser = right.browser().unwrap();
    let target = leave(&mut browser, "github", "/").await.unwrap();
    let answer = github.press(&target, None).await.unwrap();
    let page = come_back(&mut browser, &answer).await.unwrap();
    assert!(is_page(&page.answer, 403) && page.answer.text().contains("refused or broken off"));
    // A wrong secret: GitHub answers 200 with an error.
    let wrong = configuration.replace(Github::CLIENT_SECRET, "wrong");
    let wrong = gateway("  allow_users: [octocat]\n", &wrong).await.unwrap();
    let mut browser = wrong.browser().unwrap();
    let target = leave(&mut browser, "github", "/").await.unwrap();
    let answer = github.press(&target, Some("octocat")).await.unwrap();
    let page = come_back(&mut browser, &answer).await.unwrap();
    assert!(is_page(&page.answer, 502), "{:?}", page.answer);
    assert!(!page.answer.text().contains("incorrect_client_credentials"));
    assert_eq!(signed_in(&mut browser).await.unwrap(), None);
}

#[tokio::test]
async fn organisations_and_teams_open_the_door_and_the_profiles() {
    let github = stand_in().await.unwrap();
    github.provider.change(OCTOCAT.0, |account| {
        account.organisations = (0..130)
            .map(|nth| format!("org-{nth}"))
            .chain(["Acme".into()])
            .collect();
        account.teams = vec![("Acme".into(), "ops".into())];
    });
    for (team, admitted) in [("ops", true), ("dev", false)] {
        let lists = "  allow_users: [\"org:acme\"]\n  admins: [\"team:acme/ops\"]\n";
        let profiles = format!(
            "profiles:\n  default: {{ servers: [\"*\"], users: {{ allow: [\"team:acme/{team}\"] }} }}\n"
        );
        let gateway = gateway(lists, &format!("{}{profiles}", github.configuration()))
            .await
            .unwrap();
        let mut stranger = gateway.browser().unwrap();
        let target = leave(&mut stranger, "github", "/").await.unwrap();
        assert!(target.contains("scope=read%3Aorg"), "{target}");
        let answer = github.press(&target, Some("mojombo")).await.unwrap();
        assert!(is_page(
            &come_back(&mut stranger, &answer).await.unwrap().answer,
            403
        ));
        let client = gateway.client().await.unwrap();
        let resource = gateway.resource("default");
        let request = OauthClient::authorize_path(&client.parameters(&resource));
        let mut browser = gateway.browser().unwrap();
        let target = leave(&mut browser, "github", &request).await.unwrap();
        let answer = github.press(&target, Some("octocat")).await.unwrap();
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
        // The gateway follows the store within a second.
        within(PATIENCE, async || {
            let mut connection = gateway.connect().await?;
            let answer = connection.ask(&list("/mcp").bearer(&tokens.access)).await?;
            let has_tools = answer.status() == 200 && answer.text().contains("\"echo\"");
            Ok(has_tools == admitted)
        })
        .await
        .unwrap();
        let front = browser.open("/").await.unwrap();
        assert!(
            front.answer.text().contains("administrator"),
            "{}",
            front.answer.text()
        );
    }
}

#[tokio::test]
async fn co_03_co_11_a_callback_counts_once_in_the_browser_that_began() {
    let github = stand_in().await.unwrap();
    let gateway = gateway("  allow_users: [\"*\"]\n", &github.configuration())
        .await
        .unwrap();
    let mut mallory = gateway.browser().unwrap();
    let target = leave(&mut mallory, "github", "/").await.unwrap();
    let theirs = github.press(&target, Some("mojombo")).await.unwrap();
    // A link with the attacker's answer, in a browser that knows nothing and in one that has begun by itself.
    let mut victim = gateway.browser().unwrap();
    for _ in 0..2 {
        let page = come_back(&mut victim, &theirs).await.unwrap();
        assert!(is_page(&page.answer, 403), "{:?}", page.answer);
        assert_eq!(signed_in(&mut victim).await.unwrap(), None);
        leave(&mut victim, "github", "/").await.unwrap();
    }
    // Somebody else's try has used nothing up; the right browser's second has.
    come_back(&mut mallory, &theirs).await.unwrap();
    assert_eq!(
        signed_in(&mut mallory).await.unwrap().as_deref(),
        Some("github:mojombo")
    );
    let page = come_back(&mut mallory, &theirs).await.unwrap();
    assert!(is_page(&page.answer, 403), "{:?}", page.answer);
    // Without a state of ours, and when ten minutes have passed.
    for odd in [
        "code=x",
        "code=x&state=",
        "code=x&state=y",
        "error=x",
        "state=y&code=a&code=b",
        "",
    ] {
        let page = victim.open(&format!("/callback/github?{odd}")).await.unwrap();
        assert!(is_page(&page.answer, 403), "{odd}: {:?}", page.answer);
    }
    let target = leave(&mut victim, "github", "/").await.unwrap();
    let late = github.press(&target, Some("octocat")).await.unwrap();
    gateway.advance(std::time::Duration::from_secs(600));
    let page = come_back(&mut victim, &late).await.unwrap();
    assert!(is_page(&page.answer, 403), "{:?}", page.answer);
    // An answer that says that it is another provider's is not believed.
    let target = leave(&mut victim, "github", "/").await.unwrap();
    let answer = github.press(&target, Some("octocat")).await.unwrap();
    let path = sallyport_testkit::provider::location(&answer).unwrap();
    let iss = encode(&[("iss", "https://evil.test")]);
    let page = victim.open(&format!("{path}&{iss}")).await.unwrap();
    assert!(is_page(&page.answer, 502), "{:?}", page.answer);
    let nowhere = victim.open("/login/gitlab").await.unwrap();
    assert!(is_page(&nowhere.answer, 404));
}

#[tokio::test]
async fn ru_11_a_login_through_a_provider_leads_to_no_other_site() {
    let github = stand_in().await.unwrap();
    let gateway = gateway("  allow_users: [\"*\"]\n", &github.configuration())
        .await
        .unwrap();
    for next in ["//evil.test", "/\\evil.test", "https://evil.test/"] {
        let mut browser = gateway.browser().unwrap();
        let page = browser
            .open(&format!("/login/github?{}", encode(&[("next", next)])))
            .await
            .unwrap();
        let target = page.answer.header("location").unwrap().to_owned();
        let answer = github.press(&target, Some("octocat")).await.unwrap();
        let path = sallyport_testkit::provider::location(&answer).unwrap();
        let page = browser.open(&path).await.unwrap();
        assert_eq!(page.answer.header("location"), Some("/"), "{next}");
    }
}
