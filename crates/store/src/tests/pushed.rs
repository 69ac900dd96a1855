//! Pushed authorization requests.

use sallyport_core::ClientId;
use sallyport_oauth::model::PushedRequest;
use tokio::task::JoinSet;

use crate::testing::{at, open, store};

fn request(expires: i64) -> PushedRequest {
    PushedRequest {
        client: ClientId::new("client"),
        params: "client_id=client&state=a%26b".into(),
        pushed: at(10),
        expires: at(expires),
        opened: false,
        answered: false,
    }
}

#[tokio::test]
async fn what_was_pushed_is_found_opened_and_swept() {
    let (_root, store) = store().await;
    assert!(store.push_request(&[1; 32], &request(100), 9).await.unwrap());
    assert_eq!(store.pushed_request(&[2; 32]).await.unwrap(), None);
    assert_eq!(store.pushed_request(&[1; 32]).await.unwrap(), Some(request(100)));
    store.open_pushed(&[1; 32], at(500)).await.unwrap();
    store.open_pushed(&[1; 32], at(900)).await.unwrap();
    let opened = store.pushed_request(&[1; 32]).await.unwrap().unwrap();
    assert_eq!((opened.opened, opened.expires), (true, at(500)));
    store.sweep(at(499)).await.unwrap();
    assert!(store.pushed_request(&[1; 32]).await.unwrap().is_some());
    store.sweep(at(500)).await.unwrap();
    assert_eq!(store.pushed_request(&[1; 32]).await.unwrap(), None);
}

#[tokio::test]
async fn no_more_wait_than_may() {
    let (_root, store) = store().await;
    assert!(store.push_request(&[1; 32], &request(100), 2).await.unwrap());
    assert!(store.push_request(&[2; 32], &request(10), 2).await.unwrap());
    // That one is over already.
    assert!(store.push_request(&[3; 32], &request(100), 2).await.unwrap());
    assert!(!store.push_request(&[4; 32], &request(100), 2).await.unwrap());
    assert_eq!(store.pushed_request(&[4; 32]).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_answers_one_counts() {
    let (root, store) = store().await;
    let other = open(&root).await;
    store.push_request(&[1; 32], &request(100), 9).await.unwrap();
    assert!(!store.answer_pushed(&[1; 32], at(100)).await.unwrap());
    let mut tries = JoinSet::new();
    for n in 0..16 {
        let store = if n % 2 == 0 { store.clone() } else { other.clone() };
        tries.spawn(async move { store.answer_pushed(&[1; 32], at(99)).await.unwrap() });
    }
    let first = tries.join_all().await.into_iter().filter(|first| *first).count();
    assert_eq!(first, 1);
    assert!(!store.answer_pushed(&[2; 32], at(99)).await.unwrap());
}
