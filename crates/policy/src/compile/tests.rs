use super::*;

fn refused(source: &str) -> String {
    match Expression::compile(source) {
        Ok(_) => panic!("taken: {source}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn what_is_wrong_is_said_with_its_mend() {
    for (source, said) in [
        ("", "this is not CEL, from line 1, column 1"),
        ("args.a ==", "this is not CEL, from line 1, column 10"),
        ("true &&\n  args.a = 1", "this is not CEL, from line 2, column"),
        ("args.a > 1)", "this is not CEL"),
        ("has(args)", "this is not CEL, from line 1, column 5"),
        (
            "arg.a == 1",
            "there is no variable `arg`; known here: `principal`, `profile`, `server`,",
        ),
        ("[1].all(x, y > x)", "there is no variable `y`"),
        ("[1].all(x, x > 0) && x > 0", "there is no variable `x`"),
        (".args.a == 1", "there is no variable `.args`"),
        (
            "principal.nam == ''",
            "there is no `principal` with a field `nam`; known here: `id`, `name`,",
        ),
        ("args.a.lower() == ''", "there is no function `lower`"),
        (
            "startsWith(args.a, '/')",
            "there is no function `startsWith` that is written like this",
        ),
        ("env('HOME') == ''", "there is no function `env`"),
        ("arg.startsWith('/')", "there is no variable `arg`"),
        (
            "args.a.matches(args.b)",
            "the pattern of `matches` is not written out; write it as",
        ),
        (
            "matches(args.a, args.b)",
            "the pattern of `matches` is not written out",
        ),
        (
            "args.a.matches('(')",
            "the pattern of `matches` is no regular expression; write one without",
        ),
        (
            r"args.a.matches('\\w{600}')",
            "the pattern of `matches` is too large; write a shorter one",
        ),
        (
            "args.a + 1",
            "the expression is never true or false; write a comparison",
        ),
        ("'yes'", "the expression is never true or false"),
        ("[args.a]", "the expression is never true or false"),
        ("T{a: 1} == 1", "there are no types to make values of"),
        ("@steps([1]) == [1]", "this is not CEL"),
    ] {
        let error = refused(source);
        assert!(error.starts_with(said), "{source}: {error}");
        assert!(error.contains("; "), "no mend: {error}");
        assert!(!error.contains('\n'), "{error}");
    }
}

#[test]
fn what_people_write_is_taken() {
    for source in [
        "true",
        "args.amount <= 100",
        "has(args.path) && args.path.startsWith('/pub/') && !args.path.contains('..')",
        "args.paths.all(p, ['/a/', '/b/'].exists(d, p.startsWith(d)))",
        "'ops' in principal.groups || principal.admin",
        "args['content-type'] in ['text/plain', 'text/html']",
        "args.?amount.orValue(0) <= 100",
        "optional.of(1).hasValue()",
        "args.path.matches('^/pub/[a-z]+$') || matches(args.path, '^x')",
        "now.getHours('Europe/Berlin') >= 8 && now.getDayOfWeek() in [1, 2, 3, 4, 5]",
        "now < timestamp('2030-01-01T00:00:00Z') - duration('24h')",
        "type(args.n) == int && double(args.n) < 1.5e3 && size(args.s) < 10",
        "args.all(args, args != 'x')",
        "tool == 'a' || prompt == 'b' || resource == 'c' || target == 'd' || method == 'e'",
        "server == 's' && profile == 'p' && principal.client == 'c' && 'mcp' in principal.scopes",
    ] {
        if let Err(error) = Expression::compile(source) {
            panic!("{source}: {error}");
        }
    }
}

#[test]
fn what_is_looked_at_is_known() {
    let reads = |source: &str| {
        let Reads { args, now, resource } = Expression::compile(source).unwrap().reads();
        (args, now, resource)
    };
    assert_eq!(
        reads("'ops' in principal.groups && server != 'x'"),
        (false, false, false)
    );
    assert_eq!(reads("has(args.x)"), (true, false, false));
    assert_eq!(reads("[1].exists(x, now < timestamp(x))"), (false, true, false));
    assert_eq!(reads("resource == '' && target == ''"), (false, false, true));
    assert_eq!(
        reads("[1].all(args, args > 0)"),
        (false, false, false),
        "a name of its own"
    );
    assert_eq!(reads("[args].all(args, args.x > 0)"), (true, false, false));
}

#[test]
fn lengths_at_the_limit_and_one_past_it() {
    let long = |length: usize| format!("true || args.a == '{}'", "x".repeat(length - 20));
    assert_eq!(long(limits::SOURCE).len(), limits::SOURCE);
    assert!(Expression::compile(&long(limits::SOURCE)).is_ok());
    let error = refused(&long(limits::SOURCE + 1));
    assert!(
        error.starts_with("the expression is 2001 bytes long, and at most 2000 are read; make"),
        "{error}"
    );
}

/// Sums nest to the left: one term is one step.
fn sum(depth: usize) -> String {
    format!("1{} > 0", "+1".repeat(depth - 2))
}

#[test]
fn depths_at_the_limit_and_one_past_it() {
    assert!(Expression::compile(&sum(limits::DEPTH)).is_ok());
    let said = "the expression is nested more than 24 deep; make several rules of it";
    assert_eq!(refused(&sum(limits::DEPTH + 1)), said);
    // What the parser itself takes part by part.
    for (open, close) in [
        ("(", ")"),
        ("[", "]"),
        ("!(", ")"),
        ("{1:", "}"),
        ("size(", ")"),
        ("1?2:", ""),
    ] {
        let count = (limits::SOURCE - 20) / (open.len() + close.len());
        let error = refused(&format!("{}1{} == 1", open.repeat(count), close.repeat(count)));
        assert!(error.contains("; "), "{error}");
    }
}

#[test]
fn loops_at_the_limit_and_one_past_it() {
    let loops = |depth: usize| {
        let begin: String = (0..depth).map(|n| format!("[1].all(x{n}, ")).collect();
        format!("{begin}true{}", ")".repeat(depth))
    };
    assert!(Expression::compile(&loops(limits::LOOPS)).is_ok());
    assert_eq!(
        refused(&loops(limits::LOOPS + 1)),
        "loops are nested more than 3 deep; make several rules of it"
    );
    // One after the other is not one in the other.
    let chain = format!("args.l{}.size() == 1", ".map(x, x)".repeat(limits::LOOPS * 2));
    assert!(Expression::compile(&chain).is_ok());
}
