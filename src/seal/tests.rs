//! A seal opens for what it was made for, and for nothing else.

use super::*;
use proptest::prelude::*;

fn secret(byte: u8) -> SealingSecret {
    SealingSecret::new(&[byte; 32])
}

fn seal(entry: &str, lines: &[u8]) -> Seal {
    Seal::new(entry, secret(lines[0]), lines[1..].iter().copied().map(secret).collect())
}

fn key(byte: u8) -> Thumbprint {
    Thumbprint::new([byte; 32])
}

/// Made by another hand: Node.js, `hkdfSync` and `aes-256-gcm`, with 32 times 7 as the secret, 32 times 9 as the random bytes, and
/// `kp1\0access\0legacy` and so on as the context. They open for as long as there are version 1 seals.
#[test]
fn known_answers() {
    let seal = seal("legacy", &[7]);
    let access = "kp1.CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQma0_DdsNTrcVwDrzEGA-wyv-t0ePiFqi8JiiaXYKT7ipNvKe0egLlE4YYN9f273C16xwEOFw";
    let opened = seal.open_access(access).unwrap();
    assert_eq!((opened.inner.expose(), opened.jkt), ("inner", key(5)));
    let refresh = "kp1.CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkuQxFCjd5XaTyO1AZIjvZL2G7wAcBupuDifoAWrkYG1ApqFQ7bY-lxSG1iz3Lfk7Engh6Yiw";
    assert_eq!(seal.open_refresh(refresh, &key(5)).unwrap().expose(), "inner");
    assert_eq!(seal.open_refresh(refresh, &key(6)), Err(CannotOpen));
    let without = "kp1.CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQlSMVYiWHZJZnxESy06D9CTcdad6rs";
    assert_eq!(seal.open_refresh(without, &key(6)).unwrap().expose(), "inner");
}

#[test]
fn the_first_line_seals_and_every_line_opens() {
    let old = seal("legacy", &[1]).seal_access("inner", &key(5)).unwrap();
    let new = seal("legacy", &[2, 1]).seal_access("inner", &key(5)).unwrap();
    assert!(seal("legacy", &[2, 3, 1]).open_access(&old).is_ok());
    assert_eq!(seal("legacy", &[1]).open_access(&new), Err(CannotOpen));
    assert!(seal("legacy", &[2]).open_access(&new).is_ok());
}

#[test]
fn no_kind_opens_as_another() {
    let seal = seal("legacy", &[1]);
    let access = seal.seal_access("inner", &key(5)).unwrap();
    assert_eq!(seal.open_refresh(&access, &key(5)), Err(CannotOpen));
    for jkt in [Some(&key(5)), None] {
        let refresh = seal.seal_refresh("inner", jkt).unwrap();
        assert_eq!(seal.open_access(&refresh), Err(CannotOpen));
    }
}

#[test]
fn of_several_entries_the_one_that_sealed_it_opens() {
    // One file of secrets may serve them all.
    let seals: Seals<u8> =
        [(1, seal("one", &[1])), (2, seal("two", &[1])), (3, seal("three", &[3]))].into_iter().collect();
    for (entry, name, line) in [(1, "one", 1), (2, "two", 1), (3, "three", 3)] {
        let text = seal(name, &[line]).seal_access("inner", &key(5)).unwrap();
        let (found, opened) = seals.open_access(&text).unwrap();
        assert_eq!((*found, opened.inner.expose(), opened.jkt), (entry, "inner", key(5)));
    }
    let other = seal("four", &[1]).seal_access("inner", &key(5)).unwrap();
    assert_eq!(seals.open_access(&other), Err(CannotOpen));
    assert_eq!(Seals::<u8>::from_iter([]).open_access(&other), Err(CannotOpen));
}

#[test]
fn what_is_no_sealed_token_is_refused_like_any_other() {
    let seal = seal("legacy", &[1]);
    let good = seal.seal_access("inner", &key(5)).unwrap();
    let short = format!("{PREFIX}{}", encode(&[0; SealingSecret::OVERHEAD - 1]));
    let least = format!("{PREFIX}{}", encode(&[0; SealingSecret::OVERHEAD]));
    let long = format!("{PREFIX}{}", "A".repeat(MAX_SEALED));
    let others = ["", "kp1", "kp1.", "inner", &good[4..], &good[1..], &short, &least, &long];
    let changed = [
        good.replace("kp1.", "kp2."),
        good.replace("kp1.", "KP1."),
        format!("{good}="),
        format!("{good}A"),
        format!(" {good}"),
        format!("kp1.{good}"),
        format!("{good}{}", "é".repeat(9000)),
    ];
    for text in others.into_iter().chain(changed.iter().map(String::as_str)) {
        assert_eq!(seal.open_access(text), Err(CannotOpen), "{text}");
        assert_eq!(seal.open_refresh(text, &key(5)), Err(CannotOpen), "{text}");
    }
}

#[test]
fn as_many_bytes_are_tried_as_a_good_text_of_that_length_has() {
    let good = seal("legacy", &[1]).seal_access(&"a".repeat(100), &key(5)).unwrap();
    let sound = Bytes::of(&good);
    assert!(sound.well_formed);
    let broken = format!("{}!", &good[..good.len() - 1]);
    for text in [broken, good.replace("kp1.", "none")] {
        let dummy = Bytes::of(&text);
        assert!(!dummy.well_formed);
        assert!(sound.sealed.len().abs_diff(dummy.sealed.len()) < 3, "{text}");
    }
    assert_eq!(Bytes::of("").sealed.len(), SealingSecret::OVERHEAD);
    assert!(Bytes::of(&"a".repeat(1 << 20)).sealed.len() < MAX_SEALED);
}

#[test]
fn what_does_not_fit_is_not_sealed() {
    let seal = seal("legacy", &[1]);
    let most = (MAX_SEALED - PREFIX.len()) / 4 * 3 - SealingSecret::OVERHEAD - KEY;
    let longest = seal.seal_access(&"a".repeat(most), &key(5)).unwrap();
    assert!(longest.len() <= MAX_SEALED);
    assert!(seal.open_access(&longest).is_ok());
    let (longer, much_longer, twice) = ("a".repeat(most + 1), "a".repeat(1 << 20), longest.clone());
    for token in ["", "a b", "a\r\nb", "é", &longer, &much_longer, &twice] {
        assert_eq!(seal.seal_access(token, &key(5)), Err(DoesNotFit), "{}", token.len());
    }
    for token in ["", "a\r\nb", "é", &longer, &much_longer, &twice] {
        assert_eq!(seal.seal_refresh(token, Some(&key(5))), Err(DoesNotFit), "{}", token.len());
    }
    assert!(seal.seal_refresh("a b", None).is_ok(), "RFC 6749 appendix A.17");
}

#[test]
fn a_token_that_is_itself_sealed_is_refused() {
    let plain = [&key(5).as_bytes()[..], b"kp1.inner"].concat();
    let twice = secret(1).seal(&[VERSION, b"access", b"legacy"], &plain);
    let text = format!("{PREFIX}{}", encode(&twice));
    assert_eq!(seal("legacy", &[1]).open_access(&text), Err(CannotOpen));
}

#[test]
fn nothing_shows_itself() {
    let seal = seal("legacy", b"S");
    let opened = seal.open_access(&seal.seal_access("inner-token", &key(5)).unwrap()).unwrap();
    let shown = format!("{seal:?} {opened:?}");
    assert!(!shown.contains("inner-token") && !shown.contains("83, 83") && !shown.contains("SSS"), "{shown}");
}

#[test]
fn secrets_are_lines_of_base64url_or_hex() {
    let open = |file: &str| {
        read_secrets(file.as_bytes())
            .map(|(first, others)| (Seal::new("legacy", first, vec![]), others.len()))
    };
    let sealed = seal("legacy", &[7]).seal_access("inner", &key(5)).unwrap();
    let (base64url, hex) = (encode(&[7; 32]), "07".repeat(32));
    for file in [
        base64url.clone(),
        format!("{base64url}\n"),
        format!("{hex}\r\n{base64url}\r\n"),
        format!("  {hex}\t\n\n"),
    ] {
        let (seal, others) = open(&file).unwrap();
        assert!(seal.open_access(&sealed).is_ok(), "{file:?}");
        assert_eq!(others, usize::from(file.contains("\r\n")), "{file:?}");
    }
    let sealed = seal("legacy", &[0xab]).seal_access("inner", &key(5)).unwrap();
    for hex in ["ab", "AB", "aB"] {
        assert!(open(&hex.repeat(32)).unwrap().0.open_access(&sealed).is_ok(), "{hex}");
    }
}

#[test]
fn a_line_that_is_no_secret_is_named_by_its_number() {
    let good = encode(&[7; 32]);
    let padded = format!("{good}=");
    let cases: [(String, &[usize]); 9] = [
        (String::new(), &[1]),
        ("\n\n".to_owned(), &[1]),
        (format!("{good}\n\n{good}"), &[2]),
        (encode(&[7; 31]), &[1]),
        ("07".repeat(31), &[1]),
        (format!("{}0", "07".repeat(32)), &[1]),
        (format!("{padded}\n{good}\nhunter2"), &[1, 3]),
        (format!("{good}\n{good} {good}"), &[2]),
        (format!("{good}\n{}", "+/".repeat(32)), &[2]),
    ];
    for (file, lines) in cases {
        let bad = read_secrets(file.as_bytes()).unwrap_err();
        assert_eq!(bad.iter().map(|bad| bad.line).collect::<Vec<_>>(), lines, "{file:?}");
        assert!(bad.iter().all(|bad| !bad.to_string().contains("hunter2")));
    }
    assert_eq!(
        read_secrets(&[0xff; 40]).unwrap_err()[0].what,
        "is neither base64url without padding nor hex"
    );
}

fn token() -> impl Strategy<Value = String> {
    "[A-Za-z0-9._~+/-]{1,300}={0,2}".prop_filter("is not sealed", |token| !is_sealed(token))
}

proptest! {
    #[test]
    fn opening_undoes_sealing(token in token(), entry in "[a-z]{1,8}", line: u8, jkt: u8) {
        let seal = seal(&entry, &[line]);
        let text = seal.seal_access(&token, &key(jkt)).unwrap();
        let opened = seal.open_access(&text).unwrap();
        prop_assert_eq!((opened.inner.expose(), opened.jkt), (token.as_str(), key(jkt)));
        prop_assert!(is_token68(&text) && is_sealed(&text) && !text.contains(&token) | (token.len() < 4));
        let text = seal.seal_refresh(&token, Some(&key(jkt))).unwrap();
        let opened = seal.open_refresh(&text, &key(jkt)).unwrap();
        prop_assert_eq!(opened.expose(), token.as_str());
        let text = seal.seal_refresh(&token, None).unwrap();
        let opened = seal.open_refresh(&text, &key(jkt)).unwrap();
        prop_assert_eq!(opened.expose(), token.as_str());
    }

    #[test]
    fn another_secret_entry_or_key_does_not_open(
        token in token(),
        entries in ("[a-z]{1,8}", "[a-z]{1,8}"),
        lines: (u8, u8),
        keys: (u8, u8),
    ) {
        let (one, other) = (seal(&entries.0, &[lines.0]), seal(&entries.1, &[lines.1]));
        let same = entries.0 == entries.1 && lines.0 == lines.1;
        prop_assert_eq!(other.open_access(&one.seal_access(&token, &key(keys.0)).unwrap()).is_ok(), same);
        let refresh = one.seal_refresh(&token, Some(&key(keys.0))).unwrap();
        prop_assert_eq!(other.open_refresh(&refresh, &key(keys.1)).is_ok(), same && keys.0 == keys.1);
        prop_assert_eq!(other.open_refresh(&one.seal_refresh(&token, None).unwrap(), &key(keys.1)).is_ok(), same);
    }

    #[test]
    fn a_changed_byte_does_not_open(token in token(), at: prop::sample::Index, change in 1..=255_u8) {
        let seal = seal("legacy", &[1]);
        let text = seal.seal_access(&token, &key(5)).unwrap();
        let mut bytes = decode(&text[PREFIX.len()..]).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= change;
        prop_assert_eq!(seal.open_access(&format!("{PREFIX}{}", encode(&bytes))), Err(CannotOpen));
    }

    #[test]
    fn nothing_is_sealed_twice_alike(token in token()) {
        let seal = seal("legacy", &[1]);
        let (one, other) = (seal.seal_access(&token, &key(5)).unwrap(), seal.seal_access(&token, &key(5)).unwrap());
        prop_assert_ne!(&one[..PREFIX.len() + 43], &other[..PREFIX.len() + 43]);
    }

    #[test]
    fn any_text_is_refused(text in ".{0,200}") {
        prop_assert_eq!(seal("legacy", &[1, 2]).open_access(&text), Err(CannotOpen));
        prop_assert_eq!(seal("legacy", &[1, 2]).open_access(&format!("{PREFIX}{text}")), Err(CannotOpen));
    }
}
