use super::*;
use proptest::prelude::*;

fn session() -> SessionSeal {
    SessionSeal {
        endpoint: "/mcp/a".into(),
        revision: Revision::V2025_06_18,
        client_info: Some(b"{\"name\":\"c\"}".to_vec()),
        capabilities: b"{}".to_vec(),
        nonce: [7; 16],
        created: Timestamp::from_millis(-5),
    }
}

fn state(resume: Resume) -> RequestStateSeal {
    RequestStateSeal {
        server: ServerName::parse("git").unwrap(),
        method: "tools/call".into(),
        resume,
        expires: Timestamp::from_secs(1),
    }
}

#[test]
fn what_was_encoded_is_decoded() {
    let plain = SessionSeal {
        client_info: None,
        ..session()
    };
    for seal in [session(), plain] {
        assert_eq!(SessionSeal::decode(&seal.encode()), Some(seal));
    }
    for kind in ListKind::ALL {
        let seal = CursorSeal {
            endpoint: "/mcp".into(),
            kind,
            snapshot: u64::MAX,
            offset: 1000,
            created: Timestamp::EPOCH,
        };
        assert_eq!(CursorSeal::decode(&seal.encode()), Some(seal));
    }
    let nonce = [2; 16];
    for resume in [
        Resume::Parked {
            process: nonce,
            call: 9,
        },
        Resume::Relayed { nonce, state: None },
        Resume::Relayed {
            nonce,
            state: Some(String::new()),
        },
        Resume::Relayed {
            nonce,
            state: Some("é".repeat(1000)),
        },
        Resume::Visited {
            nonce,
            ids: vec!["e-1".to_owned(), String::new()],
        },
    ] {
        let seal = state(resume);
        assert_eq!(RequestStateSeal::decode(&seal.encode()), Some(seal));
    }
}

#[test]
fn the_id_of_a_task_is_read_back() {
    for era in [Era::Legacy, Era::Modern] {
        let seal = TaskSeal {
            server: ServerName::parse("git").unwrap(),
            task: "a/\u{e9}\0".into(),
            tool: String::new(),
            era,
            expires: Timestamp::from_secs(9),
        };
        let bytes = seal.encode();
        assert_eq!(TaskSeal::decode(&bytes), Some(seal));
        for cut in 0..bytes.len() {
            assert_eq!(TaskSeal::decode(&bytes[..cut]), None, "{cut}");
        }
        assert_eq!(TaskSeal::decode(&[&bytes[..], &[0]].concat()), None);
    }
}

#[test]
fn a_session_at_a_server_is_read_back() {
    for (logs, subscribes) in [(false, true), (true, false)] {
        let seal = ServerSessionSeal {
            id: "s1".into(),
            revision: Revision::V2025_11_25,
            logs,
            subscribes,
        };
        let bytes = seal.encode();
        assert_eq!(ServerSessionSeal::decode(&bytes), Some(seal));
        for cut in 0..bytes.len() {
            assert_eq!(ServerSessionSeal::decode(&bytes[..cut]), None, "{cut}");
        }
        assert_eq!(ServerSessionSeal::decode(&[&bytes[..], &[0]].concat()), None);
        let end = bytes.len() - 1;
        assert_eq!(ServerSessionSeal::decode(&[&bytes[..end], &[2]].concat()), None);
    }
}

#[test]
fn wishes_are_read_back() {
    for seal in [
        WishesSeal::default(),
        WishesSeal {
            level: Some(LogLevel::Warning),
            followed: vec!["file:///a".into(), String::new()],
        },
    ] {
        let bytes = seal.encode();
        assert_eq!(WishesSeal::decode(&bytes), Some(seal));
        for cut in 0..bytes.len() {
            assert_eq!(WishesSeal::decode(&bytes[..cut]), None, "{cut}");
        }
        assert_eq!(WishesSeal::decode(&[&bytes[..], &[0]].concat()), None);
    }
}

#[test]
fn other_forms_and_cut_or_longer_bytes_are_none() {
    let bytes = session().encode();
    for cut in 0..bytes.len() {
        assert_eq!(SessionSeal::decode(&bytes[..cut]), None, "{cut}");
    }
    assert_eq!(SessionSeal::decode(&[&bytes[..], &[0]].concat()), None);
    assert_eq!(SessionSeal::decode(&[&[2], &bytes[1..]].concat()), None);
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
        let bytes = [&[1], &bytes[..]].concat();
        let _ = (SessionSeal::decode(&bytes), CursorSeal::decode(&bytes), RequestStateSeal::decode(&bytes));
        let _ = (TaskSeal::decode(&bytes), ServerSessionSeal::decode(&bytes));
        let _ = WishesSeal::decode(&bytes);
    }
}
