//! What the token check costs a request: remembered (hit) and verified anew (miss).

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use sallyport_core::capability::{AccessClaims, SignToken as _, VerifyToken as _};
use sallyport_core::{ClientId, GrantId, Resource, ScopeSet, Timestamp, TokenId, UserId};
use sallyport_vault::signing::{Alg, Signer, SigningKey};
use sallyport_vault::verifier::{DEFAULT_CACHE, Verifier};

const ISSUER: &str = "https://gateway.example";

fn bench(c: &mut Criterion) {
    let now = Timestamp::from_secs(1_800_000_000);
    let Ok(key) = SigningKey::generate(Alg::Es256, now) else {
        return;
    };
    let Ok(signer) = Signer::new(ISSUER, &key, &[]) else {
        return;
    };
    let Ok(audience) = Resource::parse("https://gateway.example/mcp") else {
        return;
    };
    let claims = AccessClaims {
        user: UserId::new("0123456789abcdef012345"),
        client: ClientId::new("0123456789abcdef012345"),
        audience: audience.clone(),
        scopes: ScopeSet::parse("mcp"),
        token: TokenId::new("0123456789abcdef012345"),
        key: None,
        actor: None,
        grant: GrantId::new("0123456789abcdef012345"),
        issued: now,
        expires: Timestamp::from_secs(1_800_000_900),
    };
    let Ok(token) = signer.sign(&claims) else { return };
    let audiences = [audience];
    let keys = signer.verifying_keys();
    let (Ok(with), Ok(without)) = (
        Verifier::new(ISSUER, &keys, DEFAULT_CACHE),
        Verifier::new(ISSUER, &keys, 0),
    ) else {
        return;
    };
    let mut group = c.benchmark_group("token");
    group.bench_function("hit", |b| {
        b.iter(|| with.verify(black_box(token.expose()), &audiences, now))
    });
    group.bench_function("miss", |b| {
        b.iter(|| without.verify(black_box(token.expose()), &audiences, now))
    });
    group.bench_function("sign", |b| b.iter(|| signer.sign(black_box(&claims))));
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
