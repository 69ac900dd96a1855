//! What a token has to look like: parts, header, key, signature.

use super::*;

#[test]
fn jw_01_no_algorithm() {
    let gate = Gate::new();
    for alg in [
        json!("none"),
        json!("None"),
        json!("NONE"),
        json!("nOnE"),
        json!(""),
        json!(null),
        json!(["ES256"]),
    ] {
        let mut header = gate.header();
        header["alg"] = alg;
        let signed = gate.sign(&header, &body());
        gate.refused(&signed, TokenError::Malformed);
        let unsigned = signed.rsplit_once('.').unwrap().0.to_owned();
        gate.refused(&format!("{unsigned}."), TokenError::Malformed);
        gate.refused(&unsigned, TokenError::Malformed);
    }
    let mut header = gate.header();
    header.as_object_mut().unwrap().remove("alg");
    gate.refused(&gate.sign(&header, &body()), TokenError::Malformed);
}

#[test]
fn jw_02_public_key_as_a_shared_secret() {
    let gate = Gate::new();
    let (x, y) = gate.key.public().coordinates();
    let point = [
        vec![4],
        URL_SAFE_NO_PAD.decode(x).unwrap(),
        URL_SAFE_NO_PAD.decode(y).unwrap(),
    ]
    .concat();
    let der = [
        b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00".as_slice(),
        &point,
    ]
    .concat();
    let pem = format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        STANDARD.encode(&der)
    );
    let jwk = gate.signer.jwks();
    for secret in [point, der, pem.into_bytes(), jwk.into_bytes()] {
        let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
        header.typ = Some("at+jwt".into());
        header.kid = Some(gate.key.kid().to_owned());
        let key = jsonwebtoken::EncodingKey::from_secret(&secret);
        let forged = jsonwebtoken::encode(&header, &body(), &key).unwrap();
        gate.refused(&forged, TokenError::Malformed);
        // The same MAC under a header that claims the right algorithm.
        let mac = forged.rsplit_once('.').unwrap().1;
        let good = gate.sign(&gate.header(), &body());
        gate.refused(
            &format!("{}.{mac}", good.rsplit_once('.').unwrap().0),
            TokenError::Malformed,
        );
    }
}

#[test]
fn jw_03_other_algorithms_and_hollow_signatures() {
    let gate = Gate::new();
    for alg in [
        "RS256", "ES384", "ES512", "EdDSA", "PS256", "HS256", "ES256K", "es256", "ES256 ",
    ] {
        let mut header = gate.header();
        header["alg"] = json!(alg);
        gate.refused(&gate.sign(&header, &body()), TokenError::Malformed);
    }
    let good = gate.sign(&gate.header(), &body());
    let (message, signature) = good.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let order = [
        b"\xff\xff\xff\xff\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff".as_slice(),
        b"\xbc\xe6\xfa\xad\xa7\x17\x9e\x84\xf3\xb9\xca\xc2\xfc\x63\x25\x51",
    ]
    .concat();
    for hollow in [
        vec![],
        vec![0; 64],
        vec![0xff; 64],
        [order.as_slice(), &order].concat(),
        [&[0; 32], &signature[32..]].concat(),
        [&signature[..32], &[0; 32]].concat(),
        signature[..63].to_vec(),
        [signature.as_slice(), &[0]].concat(),
        // DER, as other libraries write it.
        [
            b"\x30\x44\x02\x20".as_slice(),
            &signature[..32],
            b"\x02\x20",
            &signature[32..],
        ]
        .concat(),
    ] {
        gate.refused(
            &format!("{message}.{}", URL_SAFE_NO_PAD.encode(hollow)),
            TokenError::Malformed,
        );
    }
}

#[test]
fn jw_04_headers_that_bring_their_own_key() {
    let (gate, thief) = (Gate::new(), Gate::new());
    let jwk: Value = serde_json::from_str::<Value>(&thief.signer.jwks()).unwrap()["keys"][0].clone();
    for (name, value) in [
        ("jwk", jwk),
        ("jku", json!("https://thief.example/jwks.json")),
        ("x5u", json!("https://thief.example/cert.pem")),
        ("x5c", json!(["MIIB"])),
        ("x5t", json!("AAAA")),
    ] {
        for kid in [gate.key.kid(), thief.key.kid()] {
            let mut header = gate.header();
            header["kid"] = json!(kid);
            header[name] = value.clone();
            gate.refused(&thief.sign(&header, &body()), TokenError::Malformed);
        }
    }
    gate.refused(&thief.sign(&gate.header(), &body()), TokenError::Malformed);
}

#[test]
fn jw_05_key_ids_are_looked_up_and_nothing_else() {
    let gate = Gate::new();
    let long = "k".repeat(64 * 1024);
    for kid in [
        json!("../../dev/null"),
        json!("' OR 1=1"),
        json!(long),
        json!(""),
        json!(null),
        json!(1),
        json!([gate.key.kid()]),
        json!(format!("{} ", gate.key.kid())),
    ] {
        let mut header = gate.header();
        header["kid"] = kid;
        gate.refused(&gate.sign(&header, &body()), TokenError::Malformed);
    }
    let mut header = gate.header();
    header.as_object_mut().unwrap().remove("kid");
    gate.refused(&gate.sign(&header, &body()), TokenError::Malformed);
    let text = gate.header().to_string();
    let twice = format!("{},\"kid\":\"{}\"}}", text.trim_end_matches('}'), gate.key.kid());
    gate.refused(
        &gate.sign_text(&twice, &body().to_string()),
        TokenError::Malformed,
    );
}

#[test]
fn jw_06_critical_and_unencoded() {
    let gate = Gate::new();
    for (name, value) in [
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("crit", json!(["b64"])),
        ("b64", json!(false)),
        ("b64", json!(true)),
        ("zip", json!("DEF")),
        ("cty", json!("JWT")),
        ("unknown", json!(1)),
    ] {
        let mut header = gate.header();
        header[name] = value;
        gate.refused(&gate.sign(&header, &body()), TokenError::Malformed);
    }
}

#[test]
fn jw_10_other_kinds_of_tokens() {
    let gate = Gate::new();
    for typ in [
        json!("JWT"),
        json!("id_token"),
        json!("logout+jwt"),
        json!("dpop+jwt"),
        json!("at+JWT"),
        json!("application/at+jwt"),
        json!(""),
        json!(null),
    ] {
        let mut header = gate.header();
        header["typ"] = typ;
        gate.refused(&gate.sign(&header, &body()), TokenError::Malformed);
    }
    let mut header = gate.header();
    header.as_object_mut().unwrap().remove("typ");
    gate.refused(&gate.sign(&header, &body()), TokenError::Malformed);
}

#[test]
fn jw_15_lax_base64_is_refused() {
    let gate = Gate::new();
    let token = gate.sign(&gate.header(), &body());
    let parts: Vec<&str> = token.split('.').collect();
    let with = |index: usize, part: String| {
        let mut parts: Vec<String> = parts.iter().map(|p| (*p).to_owned()).collect();
        parts[index] = part;
        parts.join(".")
    };
    for (index, part) in parts.iter().enumerate() {
        for lax in [
            format!("{part}="),
            format!("{part}=="),
            format!(" {part}"),
            format!("{part} "),
            format!("{part}\n"),
            format!("{}\n{}", &part[..4], &part[4..]),
            format!("{}\t{}", &part[..4], &part[4..]),
            format!("{part}A"),
            String::new(),
        ] {
            gate.refused(&with(index, lax), TokenError::Malformed);
        }
    }
    // 64 bytes leave four bits over in the last character of a signature.
    let signature = URL_SAFE_NO_PAD.decode(parts[2]).unwrap();
    let padded = URL_SAFE.encode(&signature);
    gate.refused(&with(2, padded), TokenError::Malformed);
    let last = parts[2].chars().last().unwrap();
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let index = alphabet.find(last).unwrap();
    let sloppy = alphabet.as_bytes()[index | 1] as char;
    gate.refused(
        &with(2, format!("{}{sloppy}", &parts[2][..parts[2].len() - 1])),
        TokenError::Malformed,
    );
    for token in [
        "",
        ".",
        "..",
        "...",
        "a.b",
        "a.b.c.d",
        &format!("{token}."),
        &format!(".{token}"),
    ] {
        gate.refused(token, TokenError::Malformed);
    }
}

proptest! {
    #[test]
    fn no_text_is_a_token(text in ".{0,300}") {
        let gate = Gate::new();
        prop_assert_eq!(gate.check(&text).err(), Some(TokenError::Malformed));
    }

    #[test]
    fn no_changed_character_is_accepted(position in 0usize..400, replacement in "[A-Za-z0-9._-]") {
        let gate = Gate::new();
        let token = gate.sign(&gate.header(), &body());
        let position = position % token.len();
        let mut changed = token.clone();
        changed.replace_range(position..=position, &replacement);
        prop_assume!(changed != token);
        prop_assert!(gate.check(&changed).is_err());
    }
}
