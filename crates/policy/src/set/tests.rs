use std::sync::LazyLock;
use std::thread;

use sallyport_core::{
    ClientId, Clock, GrantId, Principal, Resource, ScopeSet, ServerName, Timestamp, TokenId, UserId,
};

use super::*;
use crate::people::{Kind, Person};
use crate::{fault, limits};

/// Monday, 2026-11-23, 09:30 UTC.
struct Morning;

impl Clock for Morning {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(1_795_426_200)
    }
}

static ADA: LazyLock<Principal> = LazyLock::new(|| Principal {
    user: UserId::new("u1"),
    client: ClientId::new("https://app.test/client"),
    grant: GrantId::new("g"),
    token: TokenId::new("t"),
    scopes: ScopeSet::parse("mcp:read mcp:bank:write"),
    audience: Resource::parse("http://h/mcp").expect("a resource"),
    expires: Timestamp::EPOCH,
});

static BANK: LazyLock<ServerName> = LazyLock::new(|| ServerName::parse("bank").expect("a name"));

fn case(access: Access<'static>) -> Case<'static> {
    Case {
        principal: &ADA,
        access,
        method: "tools/call",
        server: &BANK,
        own: "send",
    }
}

fn rule(wants: Wants, source: &str) -> Rule {
    Rule {
        subjects: Subjects::default(),
        wants,
        expression: Expression::compile(source).unwrap_or_else(|error| panic!("{source}: {error}")),
        message: None,
    }
}

fn set(rules: Vec<Rule>) -> RuleSet {
    let ada = Person {
        name: "ada".into(),
        kind: Kind::Person,
        groups: ["ops".into()].into(),
        admin: false,
    };
    RuleSet::new("main", rules, Arc::new([(ADA.user.clone(), ada)].into()))
}

/// What both kinds of rules say to a call of a tool.
fn judged(set: &RuleSet, access: Access<'static>, arguments: &str) -> Result<(), Broken> {
    let facts = Facts {
        arguments: arguments.as_bytes(),
        clock: &Morning,
    };
    let case = case(access);
    set.stand(&case)?;
    set.hold(&case, &facts)
}

/// What one rule that has to be true says.
fn required(source: &str, arguments: &str) -> Result<(), Option<&'static str>> {
    let set = set(vec![rule(Wants::True, source)]);
    judged(&set, Access::Tool("transfer"), arguments).map_err(|broken| broken.fault)
}

#[test]
fn calls_are_judged_by_their_values() {
    const NO: Result<(), Option<&str>> = Err(None);
    for (source, arguments, wanted) in [
        ("args.n <= 100", r#"{"n":100}"#, Ok(())),
        ("args.n <= 100", r#"{"n":101}"#, NO),
        ("args.n <= 100", r#"{"n":99.5}"#, Ok(())),
        ("args.n <= 100", r#"{"n":100.5}"#, NO),
        ("args.n <= 100", r#"{"n":1e2}"#, Ok(())),
        ("args.n <= 100", r#"{"n":18446744073709551615}"#, NO),
        ("args.n <= 100", r#"{"n":1e300}"#, NO),
        ("args.n <= 100", r#"{"n":-9223372036854775809}"#, Ok(())),
        ("args.n == 5", r#"{"n":5.0}"#, Ok(())),
        ("args.n + 1 == 6", r#"{"n":5}"#, Ok(())),
        ("args.n - 1 < 5", r#"{"n":0}"#, Ok(())),
        ("args.n != null", r#"{"n":null}"#, NO),
        ("args.n <= 100", r#"{"n":"1"}"#, Err(Some("the types do not fit"))),
        ("args.n <= 100", r#"{"m":1}"#, Err(Some("a key is missing"))),
        ("args.n <= 100", "", Err(Some("a key is missing"))),
        ("!has(args.n) || args.n <= 100", "null", Ok(())),
        ("args.?n.orValue(0) <= 100", "{}", Ok(())),
        ("args.l[1] == 2", r#"{"l":[1]}"#, Err(Some("a list is too short"))),
        (
            "9223372036854775807 + args.n > 0",
            r#"{"n":1}"#,
            Err(Some("a number is out of range")),
        ),
        (
            "1 / args.n > 0",
            r#"{"n":0}"#,
            Err(Some("a number is out of range")),
        ),
        ("args.ok", r#"{"ok":true}"#, Ok(())),
        ("args.ok", r#"{"ok":"true"}"#, Err(Some(fault::NEITHER))),
        ("args.ok", r#"{"ok":1}"#, Err(Some(fault::NEITHER))),
        (
            "int(args.s) > 0",
            r#"{"s":"x"}"#,
            Err(Some("a function cannot be applied")),
        ),
        ("args.s.matches('^/pub/[a-z]+$')", r#"{"s":"/pub/a"}"#, Ok(())),
        ("args.s.matches('^/pub/[a-z]+$')", r#"{"s":"/pub/../a"}"#, NO),
        ("matches(args.s, '^/pub/')", r#"{"s":"/etc"}"#, NO),
        (
            "args.o.p.all(x, x.startsWith('/a/'))",
            r#"{"o":{"p":["/a/b","/a/c"]}}"#,
            Ok(()),
        ),
        (
            "args.o.p.all(x, x.startsWith('/a/'))",
            r#"{"o":{"p":["/a/b","/b"]}}"#,
            NO,
        ),
        ("args.exists(k, k == 'force')", r#"{"force":false}"#, Ok(())),
        ("args.s == 'é'", r#"{"s":"\u00e9"}"#, Ok(())),
    ] {
        assert_eq!(required(source, arguments), wanted, "{source} on {arguments}");
    }
}

#[test]
fn jr_01_no_argument_hides_behind_one_that_looks_alike() {
    for (source, arguments) in [
        ("args.n <= 100", r#"{"n":1,"N":101}"#),
        ("!has(args.n) || args.n <= 100", r#"{"N":101}"#),
        ("!('no' in args)", r#"{"NO":1}"#),
        ("args['n'] <= 100", r#"{"n":1,"N":101}"#),
        ("args.?n.orValue(0) <= 100", r#"{"N":101}"#),
        ("args.l.all(x, x.n <= 100)", r#"{"l":[{"n":1,"N":101}]}"#),
        ("args.o.n <= 100", r#"{"o":{"n":1,"N":101}}"#),
    ] {
        let judged = required(source, arguments);
        assert_eq!(judged, Err(Some(fault::LOOK_ALIKE)), "{source} on {arguments}");
    }
    for (source, arguments) in [
        ("args.s == 'n'", r#"{"s":"n","o":{"N":1}}"#),
        ("args.n <= 100", r#"{"n":1,"env":{"N":101}}"#),
        ("args.n <= 100 && principal.name == 'ada'", r#"{"n":1,"Name":1}"#),
    ] {
        assert_eq!(required(source, arguments), Ok(()), "{source} on {arguments}");
    }
}

#[test]
fn who_where_and_when_can_be_asked() {
    for (source, holds) in [
        (
            "principal.name == 'ada' && principal.id == 'u1' && principal.kind == 'person'",
            true,
        ),
        ("'ops' in principal.groups && !principal.admin", true),
        ("'dev' in principal.groups", false),
        ("principal.client == 'https://app.test/client'", true),
        (
            "principal.scopes == ['mcp:bank:write', 'mcp:read'] || principal.scopes == ['mcp:read', 'mcp:bank:write']",
            true,
        ),
        (
            "profile == 'main' && server == 'bank' && method == 'tools/call'",
            true,
        ),
        (
            "tool == 'transfer' && target == 'send' && prompt == '' && resource == ''",
            true,
        ),
        (
            "now.getHours() == 9 && now.getMinutes() == 30 && now.getDayOfWeek() == 1",
            true,
        ),
        ("now.getHours('Europe/Berlin') == 10", true),
        ("now > timestamp('2026-11-23T09:30:00Z')", false),
        (
            "now - timestamp('2026-11-23T00:00:00Z') == duration('9h30m')",
            true,
        ),
    ] {
        assert_eq!(required(source, "{}").is_ok(), holds, "{source}");
    }
    let set = RuleSet::new(
        "p",
        vec![rule(
            Wants::True,
            "principal.kind == 'foreign' && principal.name == 'u1'",
        )],
        Arc::default(),
    );
    assert_eq!(
        judged(&set, Access::Tool("t"), "{}"),
        Ok(()),
        "somebody of whom nothing is known"
    );
}

#[test]
fn what_cannot_be_decided_holds_for_neither() {
    for wants in [Wants::True, Wants::False] {
        for source in ["args.missing > 1", "args.text", "args.text > 1"] {
            let set = set(vec![rule(wants, source)]);
            let broken = judged(&set, Access::Tool("t"), r#"{"text":"x"}"#).unwrap_err();
            assert!(broken.fault.is_some(), "{wants:?} {source}");
        }
    }
    let denies = set(vec![rule(Wants::False, "args.n > 1")]);
    assert!(judged(&denies, Access::Tool("t"), r#"{"n":1}"#).is_ok());
    assert!(judged(&denies, Access::Tool("t"), r#"{"n":2}"#).is_err());
}

#[test]
fn every_rule_that_is_about_it_has_to_hold_and_the_first_that_does_not_is_named() {
    let globs = |texts: &[&str]| {
        texts
            .iter()
            .map(|text| Glob::parse(text).unwrap())
            .collect::<Vec<_>>()
    };
    let about = |tools: &[&str], prompts: &[&str], resources: &[&str], source: &str| Rule {
        subjects: Subjects {
            tools: globs(tools),
            prompts: globs(prompts),
            resources: globs(resources),
        },
        message: Some("no".into()),
        ..rule(Wants::True, source)
    };
    let set = set(vec![
        about(&["tr*"], &[], &[], "args.n < 10"),
        about(&["transfer"], &["p"], &[], "args.n < 5"),
        about(&[], &[], &["f:*", "send"], "'dev' in principal.groups"),
        rule(Wants::True, "!has(args.stop)"),
    ]);
    let number = |access, arguments| judged(&set, access, arguments).err().map(|broken| broken.rule);
    for (access, arguments, broken) in [
        (Access::Tool("transfer"), r#"{"n":4}"#, None),
        (Access::Tool("transfer"), r#"{"n":5}"#, Some(2)),
        (Access::Tool("transfer"), r#"{"n":10}"#, Some(1)),
        (Access::Tool("try"), r#"{"n":5}"#, None),
        (Access::Tool("list"), r#"{"n":50}"#, None),
        (Access::Tool("list"), r#"{"stop":1}"#, Some(4)),
        (Access::Prompt("p"), r#"{"n":5}"#, Some(2)),
        (Access::Prompt("transfer"), r#"{"n":5}"#, None),
        (Access::Resource("f:x"), "", Some(3)),
        (Access::Resource("g:x"), "", Some(3)),
        (Access::Template("f:{x}"), "", Some(3)),
    ] {
        assert_eq!(number(access, arguments), broken, "{access:?} {arguments}");
    }
    let broken = judged(&set, Access::Tool("transfer"), r#"{"n":7}"#).unwrap_err();
    assert_eq!(
        (broken.to_string().as_str(), broken.message.as_deref()),
        ("rule 2", Some("no"))
    );
    let broken = judged(&set, Access::Tool("transfer"), r#"{"n":"secret"}"#).unwrap_err();
    assert_eq!(broken.to_string(), "rule 1: the types do not fit");
}

#[test]
fn lists_are_decided_by_rules_that_need_nothing_of_a_call() {
    let stands = |source: &str, access| {
        let set = set(vec![rule(Wants::True, source)]);
        (set.hide(), set.stand(&case(access)).is_ok())
    };
    let tool = Access::Tool("transfer");
    assert_eq!(stands("'dev' in principal.groups", tool), (true, false));
    assert_eq!(stands("'ops' in principal.groups", tool), (true, true));
    assert_eq!(stands("args.n > 1", tool), (false, true));
    assert_eq!(
        stands("now < timestamp('1970-01-01T00:00:00Z')", tool),
        (false, true)
    );
    let (template, resource) = (Access::Template("f:{x}"), Access::Resource("f:{x}"));
    assert_eq!(
        stands("resource == 'f:a'", template),
        (true, true),
        "it may be that one"
    );
    assert_eq!(stands("resource == 'f:a'", resource), (true, false));
    assert_eq!(stands("'dev' in principal.groups", template), (true, false));
}

/// Two loops of a hundred, one in the other, and a last one of `more` elements, are 100 + 100 * 99 steps.
fn loops(more: usize) -> Result<(), Option<&'static str>> {
    let list = |length: usize| vec!["0"; length].join(",");
    let arguments = format!(
        r#"{{"a":[{}],"b":[{}],"c":[{}]}}"#,
        list(100),
        list(98),
        list(more)
    );
    required(
        "args.a.all(x, args.b.all(y, x == y)) && args.c.all(z, z == 0)",
        &arguments,
    )
}

#[test]
fn steps_at_the_limit_and_one_past_it() {
    let rest = limits::STEPS as usize - 100 - 100 * 98;
    assert_eq!(loops(rest), Ok(()));
    assert_eq!(loops(rest + 1), Err(Some("the loops have too many steps")));
    // They are counted over all rules of a call.
    let twice = || rule(Wants::True, "args.a.all(x, args.a.all(y, x == y))");
    let arguments = format!(r#"{{"a":[0{}]}}"#, ",0".repeat(79));
    assert_eq!(judged(&set(vec![twice()]), Access::Tool("t"), &arguments), Ok(()));
    let broken = judged(&set(vec![twice(), twice()]), Access::Tool("t"), &arguments).unwrap_err();
    assert_eq!(broken.to_string(), "rule 2: the loops have too many steps");
    // An error that a loop would pass over is none less.
    let swallowed = set(vec![rule(
        Wants::True,
        "args.a.all(x, args.a.all(y, args.a.all(z, true)))",
    )]);
    let broken = judged(&swallowed, Access::Tool("t"), &arguments).unwrap_err();
    assert_eq!(broken.fault, Some("the loops have too many steps"));
}

#[test]
fn the_deepest_expressions_fit_into_three_quarters_of_a_stack() {
    let sum = |of: &str, depth: usize| format!("{of}{} > 0", "+1".repeat(depth));
    let plain = sum("args.n", limits::DEPTH - 3);
    let inner = sum("x", limits::DEPTH - 9);
    let loops = format!("args.l.all(x, args.l.all(y, args.l.all(z, {inner})))");
    for source in [plain, loops] {
        let set = set(vec![rule(Wants::True, &source)]);
        let thread = thread::Builder::new().stack_size(1536 << 10);
        let thread = thread.spawn(move || judged(&set, Access::Tool("t"), r#"{"n":1,"l":[1,2]}"#));
        assert_eq!(thread.unwrap().join().unwrap(), Ok(()));
    }
}
