//! What a token has to look like: parts, header, key, signature.

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::signature::KeyPair as _;

use super::*;
use crate::signing::Pair;

#[test]
fn jw_01_no_algorithm() {
    for gate in gates() {
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
}

/// A public key in the forms in which people pass keys on.
fn published(gate: &Gate) -> Vec<Vec<u8>> {
    let der: PublicKeyX509Der<'_> = match gate.key.pair().unwrap() {
        Pair::Es256(pair) => pair.public_key().as_der().unwrap(),
        Pair::EdDsa(pair) => pair.public_key().as_der().unwrap(),
        Pair::Rs256(pair) => pair.public_key().as_der().unwrap(),
        Pair::Hs256(_) => return Vec::new(),
    };
    let der = der.as_ref().to_vec();
    let text = STANDARD.encode(&der);
    let pem = |text: &str| format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----");
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    let jwks = gate.signer.jwks();
    let jwk = serde_json::from_str::<Value>(&jwks).unwrap()["keys"][0].clone();
    let members = ["x", "y", "n", "e", "kid"].map(|name| jwk[name].as_str().unwrap_or_default().to_owned());
    let mut forms = vec![
        der,
        text.clone().into_bytes(),
        pem(&text).into_bytes(),
        format!("{}\n", pem(&lines.join("\n"))).into_bytes(),
        jwk.to_string().into_bytes(),
        jwks.into_bytes(),
        Vec::new(),
    ];
    let decoded = |member: &String| URL_SAFE_NO_PAD.decode(member).unwrap_or_default();
    let raw = members.each_ref().map(decoded);
    forms.push([&[4][..], &raw[0], &raw[1]].concat());
    forms.extend(raw);
    forms.extend(members.map(String::into_bytes));
    forms
}

#[test]
fn jw_02_public_key_as_a_shared_secret() {
    for gate in gates() {
        for secret in published(&gate) {
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
}

#[test]
fn jw_02_jw_03_in_a_ring_each_key_has_its_one_algorithm() {
    let gates: Vec<_> = gates().collect();
    let keys: Vec<_> = gates.iter().map(|gate| gate.key.verifying().clone()).collect();
    let verifier = Verifier::new(ISSUER, &keys, 100).unwrap();
    let check = |token: &str| verifier.verify(token, &[audience()], now());
    for one in &gates {
        assert!(check(&one.sign(&one.header(), &body())).is_ok());
        for other in gates.iter().filter(|other| other.key.kid() != one.key.kid()) {
            let (ours, theirs) = (one.header(), other.header());
            let mixed =
                |alg: &Value, kid: &Value| json!({"alg": alg["alg"], "typ": "at+jwt", "kid": kid["kid"]});
            for header in [mixed(&ours, &theirs), mixed(&theirs, &ours), theirs.clone()] {
                let token = one.sign(&header, &body());
                assert_eq!(check(&token).err(), Some(TokenError::Malformed), "{header}");
            }
        }
    }
}

#[test]
fn jw_03_other_algorithms_and_hollow_signatures() {
    for gate in gates() {
        let own = gate.key.alg().as_str();
        let (small, blank) = (own.to_lowercase(), format!("{own} "));
        let others = [
            "RS256", "ES256", "ES384", "ES512", "EdDSA", "PS256", "HS256", "HS512", "ES256K", "RS1", &small,
            &blank,
        ];
        for alg in others.into_iter().filter(|alg| *alg != own) {
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
        let length = signature.len();
        let half = length / 2;
        for hollow in [
            vec![],
            vec![0; length],
            vec![0xff; length],
            [order.as_slice(), &order].concat(),
            [&vec![0; half], &signature[half..]].concat(),
            [&signature[..half], &vec![0; length - half]].concat(),
            signature[..length - 1].to_vec(),
            [signature.as_slice(), &[0]].concat(),
            // DER, as other libraries write it.
            [
                b"\x30\x44\x02\x20".as_slice(),
                &signature[..half],
                b"\x02\x20",
                &signature[half..],
            ]
            .concat(),
        ] {
            gate.refused(
                &format!("{message}.{}", URL_SAFE_NO_PAD.encode(hollow)),
                TokenError::Malformed,
            );
        }
    }
}

#[test]
fn jw_04_headers_that_bring_their_own_key() {
    for alg in Alg::ALL {
        let (gate, thief) = (Gate::of(alg), Gate::of(alg));
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
}

#[test]
fn jw_05_key_ids_are_looked_up_and_nothing_else() {
    for gate in gates() {
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
}

#[test]
fn jw_06_critical_and_unencoded() {
    for gate in gates() {
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
}

#[test]
fn jw_10_other_kinds_of_tokens() {
    for gate in gates() {
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
}

#[test]
fn jw_15_lax_base64_is_refused() {
    for gate in gates() {
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
