//! The kept corpora, replayed: what fuzzing found once is not found again.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use sallyport_fuzz_targets::{TARGETS, Target};

fn corpora() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus")
}

fn replay(name: &str) {
    let target: Target = TARGETS.iter().find(|(known, _)| *known == name).unwrap().1;
    let mut inputs = 0;
    for entry in fs::read_dir(corpora().join(name)).unwrap() {
        let path = entry.unwrap().path();
        println!("{}", path.display());
        target(&fs::read(path).unwrap());
        inputs += 1;
    }
    assert!(inputs >= 5, "{inputs} inputs are no corpus");
}

macro_rules! replayed {
    ($($name:ident),*) => { $(
        #[test]
        fn $name() {
            replay(stringify!($name));
        }
    )* };
}

replayed!(cursor, envelope, frame, header_sentinel, session_seal, sse);

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
