//! The kept corpora, replayed: what fuzzing found once is not found again.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use sallyport_fuzz_targets::{TARGETS, Target};

fn corpora() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus")
}

/// A file and what is in it.
type Input = (PathBuf, Vec<u8>);

/// The target of this name and its inputs, by their file names.
fn corpus(name: &str) -> std::io::Result<(Target, Vec<Input>)> {
    let target = TARGETS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, target)| *target);
    let target = target.ok_or(std::io::ErrorKind::NotFound)?;
    let inputs = fs::read_dir(corpora().join(name))?.map(|entry| {
        let path = entry?.path();
        Ok((path.clone(), fs::read(path)?))
    });
    Ok((target, inputs.collect::<std::io::Result<_>>()?))
}

macro_rules! replayed {
    ($($name:ident),*) => { $(
        #[test]
        fn $name() {
            let (target, inputs) = corpus(stringify!($name)).unwrap();
            assert!(inputs.len() >= 5, "{} inputs are no corpus", inputs.len());
            for (path, input) in inputs {
                let ran = std::panic::catch_unwind(|| target(&input));
                assert!(ran.is_ok(), "{}", path.display());
            }
        }
    )* };
}

replayed!(
    cursor,
    envelope,
    frame,
    header_sentinel,
    request_head,
    session_seal,
    sse
);

#[test]
fn every_target_has_a_corpus_and_every_corpus_a_target() {
    let kept: BTreeSet<String> = fs::read_dir(corpora())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let known: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(kept, known);
    for name in known {
        let target = corpora().join(format!("../fuzz_targets/{name}.rs"));
        assert!(target.exists(), "{}", target.display());
    }
}

#[test]
fn the_corpora_are_small() {
    let sizes = TARGETS
        .iter()
        .flat_map(|(name, _)| fs::read_dir(corpora().join(name)).unwrap());
    let bytes: u64 = sizes.map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    assert!(bytes < 200_000, "{bytes} bytes");
}
