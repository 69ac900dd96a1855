use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use sallyport_core::{ClientId, GrantId, Timestamp};

use super::book::{MAX_FOLLOWED, PATIENCE, WINDOW};
use super::shape::Place;
use super::trace::MAX_STEPS;
use super::verdict::State;
use super::*;

const BEGIN: Timestamp = Timestamp::from_secs(1_000);

/// Sightings of a test, in the order of a clock that goes on by a second each.
struct Scene {
    book: Book,
    now: Timestamp,
    made: u32,
}

impl Scene {
    fn new() -> Self {
        Self {
            book: Book::default(),
            now: BEGIN,
            made: 0,
        }
    }

    fn see(&mut self, keys: Keys, step: impl Into<Step>) {
        self.now = self.now.plus(Duration::from_secs(1));
        let sighting = Sighting {
            at: self.now,
            keys,
            step: step.into(),
        };
        let made = &mut self.made;
        self.book.see(sighting, || {
            *made += 1;
            format!("t{made}")
        });
    }

    fn traces(&mut self) -> Vec<Trace> {
        let mut traces = self.book.changes(usize::MAX).keep;
        traces.sort_by_key(|trace| trace.begun);
        traces
    }

    /// The one log-in that there is.
    fn trace(&mut self) -> Trace {
        let mut traces = self.traces();
        assert_eq!(traces.len(), 1, "{traces:#?}");
        traces.remove(0)
    }
}

fn from(last: u8, agent: &str) -> Keys {
    Keys {
        sender: Some((IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)), Agent::of(agent))),
        ..Keys::default()
    }
}

fn challenged() -> Step {
    Step::Challenged {
        endpoint: Place::of("/mcp"),
        rule: Rule::TokenMissing,
    }
}

fn read(document: Document) -> Step {
    Step::Discovery {
        document,
        found: true,
    }
}

fn registered() -> Step {
    Step::Registered {
        redirects: vec![Place::of("http://127.0.0.1:1/cb")],
        method: crate::model::AuthMethod::None,
    }
}

fn asked() -> Step {
    Step::Asked {
        redirect: Place::of("http://127.0.0.1:1/cb"),
        state: true,
        resource: true,
        scope: true,
    }
}

fn id(client: &str) -> ClientId {
    ClientId::new(client)
}

/// From the first 401 to the first call, with the browser at another address if `browser` is another one.
fn log_in(scene: &mut Scene, (host, browser): (u8, u8), client: &str, grant: &str) {
    let program = || from(host, "node");
    let person = || from(browser, "Mozilla/5.0").request(&id(client), "http://127.0.0.1:1/cb", grant);
    scene.see(program(), challenged());
    scene.see(program(), read(Document::ProtectedResource));
    scene.see(program(), read(Document::AuthorizationServer));
    scene.see(program().client(&id(client)), registered());
    scene.see(person(), asked());
    scene.see(person(), Step::LoginShown);
    scene.see(person(), Step::LoggedIn);
    scene.see(person(), asked());
    scene.see(person(), Step::ConsentShown);
    scene.see(
        person().grant(&GrantId::new(grant)),
        Step::Allowed { remembered: false },
    );
    let redeeming = program().client(&id(client)).grant(&GrantId::new(grant));
    scene.see(redeeming, Step::Issued { renewable: true });
    scene.see(Keys::default().grant(&GrantId::new(grant)), Step::Used);
}

#[test]
fn a_log_in_is_one_trace_from_the_first_401_to_the_first_call() {
    for browser in [1, 2] {
        let mut scene = Scene::new();
        log_in(&mut scene, (1, browser), "c", "g");
        let trace = scene.trace();
        assert_eq!(trace.steps.len(), 12, "{trace:#?}");
        let verdict = trace.verdict(scene.now);
        assert_eq!(
            (verdict.state, verdict.name.as_str()),
            (State::Connected, "connected")
        );
        // Its life goes on, and that is not a log-in.
        scene.see(Keys::default().grant(&GrantId::new("g")), Step::Used);
        scene.see(
            from(1, "node").client(&id("c")).grant(&GrantId::new("g")),
            Step::Renewed,
        );
        scene.see(from(1, "node"), challenged());
        scene.see(from(1, "node"), read(Document::ProtectedResource));
        assert!(scene.traces().is_empty());
    }
}

#[test]
fn log_ins_of_two_clients_at_one_address_stay_apart() {
    let mut scene = Scene::new();
    for program in ["node", "python"] {
        scene.see(from(1, program), challenged());
        scene.see(from(1, program), read(Document::ProtectedResource));
    }
    scene.see(from(1, "python").client(&id("p")), registered());
    scene.see(from(1, "node").client(&id("n")), registered());
    for client in ["n", "p"] {
        let browser = from(1, "Mozilla/5.0").request(&id(client), "http://127.0.0.1:1/cb", client);
        scene.see(browser.clone(), asked());
        scene.see(
            browser.grant(&GrantId::new(client)),
            Step::Allowed { remembered: true },
        );
        scene.see(Keys::default().grant(&GrantId::new(client)), Step::Used);
    }
    let traces = scene.traces();
    assert_eq!(traces.len(), 2, "{traces:#?}");
    assert!(traces.iter().all(|trace| trace.steps.len() == 6), "{traces:#?}");
}

#[test]
fn a_document_is_everybodys_and_two_people_stay_apart() {
    let mut scene = Scene::new();
    let url = id("https://app.test/client.json");
    for (host, grant) in [(1, "g1"), (2, "g2")] {
        scene.see(from(host, "httpx"), challenged());
        let browser = from(host + 10, "Mozilla/5.0").request(&url, "https://app.test/cb", grant);
        scene.see(browser.clone(), asked());
        scene.see(
            browser.grant(&GrantId::new(grant)),
            Step::Allowed { remembered: false },
        );
    }
    for (host, grant) in [(2, "g2"), (1, "g1")] {
        let redeeming = from(host, "httpx").client(&url).grant(&GrantId::new(grant));
        scene.see(redeeming, Step::Issued { renewable: true });
    }
    // What the programs did before their people's browsers came is put before it.
    let traces = scene.traces();
    assert_eq!(traces.len(), 2, "{traces:#?}");
    for trace in traces {
        let steps: Vec<_> = trace.steps.iter().map(|entry| entry.step.clone()).collect();
        assert_eq!(steps.first(), Some(&challenged()));
        assert_eq!(steps.len(), 4, "{steps:#?}");
    }
}

#[test]
fn a_second_try_is_another_log_in() {
    let mut scene = Scene::new();
    scene.see(from(1, "node"), challenged());
    scene.see(
        from(1, "node"),
        Refused::at(Point::Registration, Rule::RedirectScheme),
    );
    log_in(&mut scene, (1, 1), "c", "g");
    let traces = scene.traces();
    let names: Vec<_> = traces.iter().map(|trace| trace.verdict(scene.now).name).collect();
    assert_eq!(names, ["redirect-scheme", "connected"]);
}

#[test]
fn renewing_tokens_is_no_log_in() {
    let mut scene = Scene::new();
    let expired = Step::Challenged {
        endpoint: Place::of("/mcp"),
        rule: Rule::TokenExpired,
    };
    scene.see(from(1, "node"), expired);
    scene.see(from(1, "node"), read(Document::ProtectedResource));
    scene.see(
        from(1, "node").client(&id("c")).grant(&GrantId::new("g")),
        Step::Renewed,
    );
    scene.see(Keys::default().grant(&GrantId::new("g")), Step::Used);
    let changes = scene.book.changes(usize::MAX);
    assert!(changes.keep.is_empty(), "{changes:#?}");
    assert_eq!(changes.drop, ["t1"]);
}

#[test]
fn every_standstill_has_its_name() {
    let browser = || from(1, "Mozilla/5.0").request(&id("c"), "http://127.0.0.1:1/cb", "g");
    let steps: [(Keys, Step, &str); 8] = [
        (from(1, "node"), challenged(), "only-challenged"),
        (
            from(1, "node"),
            read(Document::ProtectedResource),
            "no-server-document",
        ),
        (
            from(1, "node"),
            read(Document::AuthorizationServer),
            "not-registered",
        ),
        (from(1, "node").client(&id("c")), registered(), "no-browser"),
        (browser(), asked(), "nobody-logged-in"),
        (browser(), Step::LoggedIn, "consent-unanswered"),
        (
            browser().grant(&GrantId::new("g")),
            Step::Allowed { remembered: false },
            "code-unused",
        ),
        (
            Keys::default().grant(&GrantId::new("g")),
            Step::Issued { renewable: true },
            "token-unused",
        ),
    ];
    let mut scene = Scene::new();
    for (keys, step, name) in steps {
        scene.see(keys, step);
        let trace = scene.trace();
        let underway = trace.verdict(scene.now.plus(verdict::SILENCE - Duration::from_millis(1)));
        assert_eq!((underway.state, underway.name.as_str()), (State::Underway, name));
        let broken = trace.verdict(scene.now.plus(verdict::SILENCE));
        assert_eq!((broken.state, broken.name.as_str()), (State::BrokenOff, name));
        assert!(!broken.text.is_empty() && !broken.mend.is_empty());
    }
    let audience = Step::Challenged {
        endpoint: Place::of("/mcp/team"),
        rule: Rule::TokenAudience,
    };
    scene.see(from(1, "node"), audience);
    assert_eq!(scene.trace().verdict(scene.now).name, "token-audience");
}

#[test]
fn the_redirect_that_does_not_match_is_named_with_the_one_that_was_registered() {
    let mut scene = Scene::new();
    let registered = ["http://127.0.0.1:41213/callback".to_owned()];
    let refused = Refused::at(Point::Authorization, Rule::RedirectNotRegistered)
        .redirect("http://127.0.0.1:41213/cb", &registered);
    scene.see(from(1, "Mozilla/5.0").client(&id("c")), refused);
    let verdict = scene.trace().verdict(scene.now);
    assert_eq!(verdict.name, "redirect-not-registered");
    assert_eq!(
        verdict.text,
        "The client asked to return to http://127.0.0.1:41213/cb, but it registered http://127.0.0.1:41213/callback (they \
         differ in the path)."
    );
    assert!(verdict.mend.starts_with("Register http://127.0.0.1:41213/cb"));
}

#[test]
fn steps_at_the_limit_and_one_past_it() {
    let mut scene = Scene::new();
    let steps = [
        read(Document::ProtectedResource),
        read(Document::AuthorizationServer),
    ];
    for step in steps.iter().cycle().take(MAX_STEPS) {
        scene.see(from(1, "node"), step.clone());
    }
    let trace = scene.trace();
    assert_eq!((trace.steps.len(), trace.left_out), (MAX_STEPS, 0));
    scene.see(from(1, "node").client(&id("c")), registered());
    let trace = scene.trace();
    assert_eq!((trace.steps.len(), trace.left_out), (MAX_STEPS, 1));
    assert_eq!(trace.last(), Some(&registered()));
    // The same step over and over is one entry.
    scene.see(from(1, "node").client(&id("c")), registered());
    assert_eq!(scene.trace().steps.last().map(|entry| entry.times), Some(2));
}

#[test]
fn followed_log_ins_at_the_limit_and_one_past_it() {
    let mut scene = Scene::new();
    for number in 0..=MAX_FOLLOWED {
        scene.see(from(1, &format!("c/{number}")), challenged());
    }
    let traces = scene.traces();
    assert_eq!(traces.len(), MAX_FOLLOWED);
    assert_eq!(
        traces.first().map(|trace| trace.id.as_str()),
        Some("t2"),
        "the oldest has gone"
    );
}

#[test]
fn a_sender_is_found_again_within_the_window_and_not_past_it() {
    for (pause, count) in [(WINDOW - Duration::from_millis(1), 1), (WINDOW, 2)] {
        let mut scene = Scene::new();
        scene.see(from(1, "node"), challenged());
        scene.now = scene.now.plus(pause).minus(Duration::from_secs(1));
        scene.see(from(1, "node"), read(Document::ProtectedResource));
        assert_eq!(scene.traces().len(), count, "{pause:?}");
    }
}

#[test]
fn a_log_in_is_found_again_for_an_hour_and_no_longer_even_if_it_was_not_written_down() {
    for (pause, count) in [(PATIENCE - Duration::from_millis(1), 1), (PATIENCE, 2)] {
        let mut scene = Scene::new();
        let person = || from(2, "Mozilla/5.0").request(&id("c"), "http://127.0.0.1:1/cb", "challenge");
        scene.see(person(), asked());
        scene.now = scene.now.plus(pause).minus(Duration::from_secs(1));
        scene.see(person(), asked());
        assert_eq!(scene.traces().len(), count, "{pause:?}");
    }
}

#[test]
fn a_record_reads_back_as_it_was_written() {
    let mut scene = Scene::new();
    log_in(&mut scene, (1, 2), "c", "g");
    scene.see(
        from(1, "node").client(&id("c")).grant(&GrantId::new("g")),
        Refused::at(Point::Token, Rule::RefreshReused),
    );
    let trace = scene.trace();
    let text = serde_json::to_string(&trace).unwrap();
    assert_eq!(serde_json::from_str::<Trace>(&text).unwrap(), trace);
    assert_eq!(trace.verdict(scene.now).name, "refresh-reused");
}
