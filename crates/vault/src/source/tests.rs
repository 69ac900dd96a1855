use std::os::unix::fs::symlink;
use std::sync::Barrier;

use super::*;
use crate::SystemRandom;

fn source(path: &Path) -> MasterKeySource {
    MasterKeySource::File(path.to_owned())
}

fn load_at(path: &Path) -> Result<String, KeyError> {
    load_or_create(&source(path), &SystemRandom).map(|keys| keys.active.to_hex().expose().clone())
}

#[test]
fn va_09_a_key_file_is_made_once_for_us_alone() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("master.key");
    let first = load_at(&path).unwrap();
    assert_eq!(load_at(&path).unwrap(), first);
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
    assert_eq!(
        fs::read_dir(root.path()).unwrap().count(),
        1,
        "nothing temporary is left"
    );
    assert_ne!(load_at(&root.path().join("another.key")).unwrap(), first);
}

#[test]
fn va_09_loose_key_files_are_refused_with_the_mend() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("master.key");
    let key = load_at(&path).unwrap();
    for mode in [0o640, 0o604, 0o620, 0o666, 0o644] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let text = load_at(&path).unwrap_err().to_string();
        assert!(text.contains(&format!("chmod 600 {}", path.display())), "{text}");
        assert!(!text.contains(&key));
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    assert_eq!(load_at(&path).unwrap(), key);
}

#[test]
fn va_09_what_is_no_file_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let real = root.path().join("real");
    load_at(&real).unwrap();
    let link = root.path().join("link");
    symlink(&real, &link).unwrap();
    let dangling = root.path().join("dangling");
    symlink(root.path().join("nowhere"), &dangling).unwrap();
    for path in [link, dangling, root.path().to_owned(), PathBuf::from("/dev/zero")] {
        assert!(
            matches!(load_at(&path), Err(KeyError::NotAFile { .. })),
            "{}",
            path.display()
        );
    }
    assert!(matches!(
        load_at(&root.path().join("no/such/directory")),
        Err(KeyError::Io { .. })
    ));
}

#[test]
fn va_04_a_bad_key_file_is_refused_and_not_replaced() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("master.key");
    let zeros = "0".repeat(64);
    let long = format!("{}\n", "ab".repeat(2000));
    for text in [
        b"".as_slice(),
        b"\n",
        b"short",
        zeros.as_bytes(),
        b"\xff\xfe\x00",
        long.as_bytes(),
    ] {
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(
            load_at(&path),
            Err(KeyError::Form | KeyError::Placeholder | KeyError::Long { .. })
        ));
        assert_eq!(fs::read(&path).unwrap(), text);
    }
}

const GOOD: [&str; 3] = [
    "8f1d0c6a5b7e42993ed1707a11c4b8f02b9d6c5e4f8a37d1e06b52c98d7f4a13",
    "9f1d0c6a5b7e42993ed1707a11c4b8f02b9d6c5e4f8a37d1e06b52c98d7f4a13",
    "af1d0c6a5b7e42993ed1707a11c4b8f02b9d6c5e4f8a37d1e06b52c98d7f4a13",
];

fn texts(keys: &MasterKeys) -> Vec<String> {
    keys.all().map(|key| key.to_hex().expose().clone()).collect()
}

#[test]
fn va_04_a_bad_value_is_refused() {
    let value = |active: &str, retired: &str| {
        let (active, retired) = (active.into(), retired.into());
        load_or_create(&MasterKeySource::Value { active, retired }, &SystemRandom)
    };
    let [new, old, older] = GOOD;
    assert!(matches!(value("changeme", ""), Err(KeyError::Form)));
    assert!(matches!(value(&"00".repeat(32), ""), Err(KeyError::Placeholder)));
    assert_eq!(texts(&value(new, "").unwrap()), [new]);
    assert_eq!(texts(&value(new, &format!(" {old},{older}\n")).unwrap()), GOOD);
    for (retired, number) in [("short", 1), (&format!("{old} {}", "00".repeat(32)), 2)] {
        let error = value(new, retired).err().unwrap();
        assert!(
            matches!(error, KeyError::Other { number: n, .. } if n == number),
            "{error}"
        );
        assert!(!error.to_string().contains(retired));
    }
    for twice in [new.to_owned(), new.to_uppercase(), format!("{old} {old}")] {
        assert!(matches!(value(new, &twice), Err(KeyError::Twice)), "{twice}");
    }
    let many = |count: u8| {
        let keys = (0..count).map(|n| GOOD[0].replacen("8f", &format!("{:02x}", 0x10 + n), 1));
        keys.collect::<Vec<_>>().join(",")
    };
    assert!(value(new, &many(8)).is_ok());
    assert!(matches!(value(new, &many(9)), Err(KeyError::TooMany { max: 8 })));
}

#[test]
fn va_04_every_line_of_a_key_file_is_looked_at() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("master.key");
    let load = |text: &str| {
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        load_or_create(&source(&path), &SystemRandom)
    };
    let [a, b, c] = GOOD;
    let keys = load(&format!("\n {a} \nnext {b}\n\n retired  {c}")).unwrap();
    assert_eq!(texts(&keys), GOOD);
    assert!(keys.next.is_some() && keys.retired.len() == 1);
    for text in [
        format!("{a}\n{b}\n"),
        format!("{a}\nformer {b}\n"),
        format!("{a}\nnext {b}\nnext {c}\n"),
        format!("{a}\nretired\n"),
    ] {
        let error = load(&text).err().unwrap();
        assert!(matches!(error, KeyError::Line { .. }), "{text}: {error}");
        assert!(!error.to_string().contains(b));
    }
    assert!(matches!(
        load(&format!("retired {a}\n{b}\n")),
        Err(KeyError::Form)
    ));
    assert!(matches!(
        load(&format!("{a}\nretired {}\n", "0".repeat(64))),
        Err(KeyError::Other { number: 1, .. })
    ));
    for twice in [format!("{a}\nnext {a}"), format!("{a}\nnext {b}\nretired {b}")] {
        assert!(matches!(load(&twice), Err(KeyError::Twice)), "{twice}");
    }
    let at = format!("{a}{}", " ".repeat(1024 - a.len()));
    assert!(load(&at).is_ok());
    assert!(matches!(load(&format!("{at} ")), Err(KeyError::Long { .. })));
}

#[test]
fn a_key_file_is_replaced_whole_and_for_those_who_know_it() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("master.key");
    let first = load_or_create(&source(&path), &SystemRandom).unwrap();
    let mut two = first.clone();
    two.next = Some(MasterKey::parse(GOOD[0]).unwrap());
    // What a crash has left.
    fs::write(root.path().join("master.key.new"), "half").unwrap();
    replace(&path, &first, &two).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    let found = load_or_create(&source(&path), &SystemRandom).unwrap();
    assert!(found.are(&two) && !found.are(&first));
    let promoted = found.promoted();
    assert_eq!(texts(&promoted), [texts(&two)[1].clone(), texts(&two)[0].clone()]);
    assert!(promoted.next.is_none() && !promoted.are(&found));
    assert!(matches!(
        replace(&path, &first, &promoted),
        Err(KeyError::Changed { .. })
    ));
    let mut twice = promoted.clone();
    twice.next = Some(promoted.active.clone());
    assert!(matches!(replace(&path, &two, &twice), Err(KeyError::Twice)));
    assert!(load_or_create(&source(&path), &SystemRandom).unwrap().are(&two));
    replace(&path, &two, &promoted).unwrap();
}

#[test]
fn processes_that_start_together_share_one_key() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("master.key");
    let together = Barrier::new(8);
    let keys: Vec<String> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    together.wait();
                    load_at(&path).unwrap()
                })
            })
            .collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect()
    });
    assert!(keys.iter().all(|key| *key == keys[0]));
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
}
