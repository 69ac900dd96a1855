use std::os::unix::fs::symlink;
use std::sync::Barrier;

use super::*;
use crate::SystemRandom;

fn source(path: &Path) -> MasterKeySource {
    MasterKeySource::File(path.to_owned())
}

fn load_at(path: &Path) -> Result<String, KeyError> {
    load_or_create(&source(path), &SystemRandom).map(|key| key.to_hex().expose().clone())
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
            Err(KeyError::Form | KeyError::Placeholder)
        ));
        assert_eq!(fs::read(&path).unwrap(), text);
    }
}

#[test]
fn va_04_a_bad_value_is_refused() {
    let value = |text: &str| load_or_create(&MasterKeySource::Value(text.into()), &SystemRandom);
    assert!(matches!(value("changeme"), Err(KeyError::Form)));
    assert!(matches!(value(&"00".repeat(32)), Err(KeyError::Placeholder)));
    assert!(value("8f1d0c6a5b7e42993ed1707a11c4b8f02b9d6c5e4f8a37d1e06b52c98d7f4a13").is_ok());
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
