use super::*;
use proptest::prelude::*;

#[test]
fn what_is_no_object_is_refused() {
    let cases: [(&[u8], JsonError); 26] = [
        (b"", JsonError::Syntax),
        (b"null", JsonError::Syntax),
        (b"[]", JsonError::Syntax),
        (b"\"a\"", JsonError::Syntax),
        (b"{", JsonError::Syntax),
        (b"{}x", JsonError::Syntax),
        (b"{}{}", JsonError::Syntax),
        (b"{\"a\":1,}", JsonError::Syntax),
        (b"{a:1}", JsonError::Syntax),
        (b"{'a':1}", JsonError::Syntax),
        (b"{1:1}", JsonError::Syntax),
        (b"{\"a\":01}", JsonError::Syntax),
        (b"{\"a\":NaN}", JsonError::Syntax),
        (b"{\"a\":1e400}", JsonError::Syntax),
        (b"{\"a\":\"\\ud800\"}", JsonError::Syntax),
        (b"{\"a\":\"\n\"}", JsonError::Syntax),
        (b"{\"a\":\"\xff\"}", JsonError::Syntax),
        (b"\xef\xbb\xbf{}", JsonError::Syntax),
        (b"{/**/}", JsonError::Syntax),
        (b"{\"a\":1,\"a\":1}", JsonError::Duplicate),
        (b"{\"a\":1,\"\\u0061\":2}", JsonError::Duplicate),
        (b"{\"b\":{\"a\":1,\"c\":0,\"a\":1}}", JsonError::Duplicate),
        (b"{\"b\":[[{\"a\":1,\"a\":null}]]}", JsonError::Duplicate),
        (b"{\"a\":[[[[[[[[]]]]]]]]}", JsonError::TooDeep),
        (b"{\"\":{\"\":{\"\":{\"\":{\"\":{\"\":{\"\":{\"\":{}}}}}}}}}", JsonError::TooDeep),
        (b"{\"a\":[[[[[[[[[[[[[[[[", JsonError::TooDeep),
    ];
    for (text, error) in cases {
        assert_eq!(Object::parse(text, Limits::SMALL), Err(error), "{}", text.escape_ascii());
    }
}

#[test]
fn values_are_what_they_say() {
    let text = br#" {"n":null,"t":true,"i":-7,"m":9223372036854775807,"u":9223372036854775808,"f":1.0,"e":1e3,"s":"a\"b","a":[1,{"x":""}],"o":{}} "#;
    let object = Object::parse(text, Limits::SMALL).unwrap();
    let expected = [
        ("t", Value::Bool(true)),
        ("i", Value::Integer(-7)),
        ("m", Value::Integer(i64::MAX)),
        ("u", Value::Float(9_223_372_036_854_775_808.0)),
        ("f", Value::Float(1.0)),
        ("e", Value::Float(1000.0)),
        ("s", Value::String("a\"b".into())),
    ];
    for (name, value) in &expected {
        assert_eq!(object.get(name), Some(value), "{name}");
    }
    assert_eq!(object.get("i").and_then(Value::as_number), Some(-7.0));
    assert_eq!(object.get("f").and_then(Value::as_number), Some(1.0));
    assert_eq!(object.get("s").and_then(Value::as_number), None);
    assert_eq!(object.get("a").and_then(Value::as_array).map(<[_]>::len), Some(2));
    assert_eq!(object.get("o").and_then(Value::as_object), Some(&Object::default()));
    assert_eq!(object.get("absent"), None);
    assert_eq!(object.get("n"), None, "null is absent");
    assert!(object.is_written("n") && !object.is_written("absent"));
    assert_eq!(object.items(), 13);
    assert_eq!(object.iter().map(|(name, _)| name).collect::<String>(), "timufesao");
    assert_eq!(object.clone().into_owned(), object);
}

#[test]
fn plain_strings_are_borrowed() {
    let object = Object::parse(br#"{"plain":"text","esc\u0061ped":"\n"}"#, Limits::SMALL).unwrap();
    let borrowed = |text: &Cow<'_, str>| matches!(text, Cow::Borrowed(_));
    let kinds = object.members.iter().map(|(name, value)| {
        let Value::String(text) = value else { panic!("{value:?} is no string") };
        (borrowed(name), borrowed(text))
    });
    assert_eq!(kinds.collect::<Vec<_>>(), [(true, true), (false, false)]);
}

/// A text of this size.
type Made<'a> = &'a dyn Fn(usize) -> String;

#[test]
fn limits_are_exact() {
    let arrays = |levels: usize| format!(r#"{{"a":{}{}}}"#, "[".repeat(levels - 1), "]".repeat(levels - 1));
    let objects = |levels: usize| format!("{}{{}}{}", r#"{"a":"#.repeat(levels - 1), "}".repeat(levels - 1));
    let items = |count: usize| format!(r#"{{"a":[{}]}}"#, vec!["0"; count - 1].join(","));
    let members = |count: usize| {
        let members: Vec<_> = (0..count).map(|number| format!(r#""{number}":null"#)).collect();
        format!("{{{}}}", members.join(","))
    };
    for limits in [Limits::TOKEN, Limits::SMALL, Limits { levels: 2, items: 2 }] {
        let table: [(Made<'_>, usize, JsonError); 4] = [
            (&arrays, limits.levels, JsonError::TooDeep),
            (&objects, limits.levels, JsonError::TooDeep),
            (&items, limits.items, JsonError::TooMany),
            (&members, limits.items, JsonError::TooMany),
        ];
        for (text, limit, error) in table {
            let read = |size: usize| {
                let text = text(size);
                Object::parse(text.as_bytes(), limits).map(|object| object.into_owned().items())
            };
            assert!(read(limit).is_ok(), "{limits:?} {limit}");
            assert_eq!(read(limit + 1), Err(error), "{limits:?} {limit}");
        }
    }
    assert_eq!(Object::parse(b"{\"a\":0}", Limits { levels: 1, items: 0 }), Err(JsonError::TooMany));
    assert_eq!(Object::parse(b"{}", Limits { levels: 0, items: 0 }), Err(JsonError::TooDeep));
}

/// A test's stack is as small as a worker's, and a debug build's frames are larger.
#[test]
fn what_is_far_too_deep_is_refused_and_does_not_end_the_process() {
    for opening in ["[", r#"{"a":"#] {
        let text = format!(r#"{{"a":{}"#, opening.repeat(100_000));
        assert_eq!(Object::parse(text.as_bytes(), Limits::TOKEN), Err(JsonError::TooDeep));
    }
}

#[test]
fn a_member_is_set_in_its_place_or_at_the_end() {
    let mut object = Object::parse(br#"{"a":1,"b":null,"c":3}"#, Limits::SMALL).unwrap();
    object.set("b", Value::Integer(2));
    object.set("d", Value::Integer(4));
    object.set("a", Value::Null);
    let members: Vec<_> = object.iter().map(|(name, value)| (name, value.as_number())).collect();
    assert_eq!(members, [("b", Some(2.0)), ("c", Some(3.0)), ("d", Some(4.0))]);
}

#[test]
fn a_duplicate_is_found_among_few_and_among_many() {
    for count in 2..40 {
        for twin in 0..count - 1 {
            let mut names: Vec<String> = (0..count).map(|number| format!(r#""{number}":0"#)).collect();
            assert!(Object::parse(format!("{{{}}}", names.join(",")).as_bytes(), Limits::SMALL).is_ok());
            names[count - 1] = names[twin].clone();
            let text = format!("{{{}}}", names.join(","));
            assert_eq!(Object::parse(text.as_bytes(), Limits::SMALL), Err(JsonError::Duplicate), "{text}");
        }
    }
}

proptest! {
    #[test]
    fn bytes_never_panic(text in prop::collection::vec(any::<u8>(), 0..64)) {
        let _unused = Object::parse(&text, Limits::TOKEN);
    }

    #[test]
    fn is_no_laxer_than_serde_json(text in r#"\{"a":[\[\]{}",:0-9.eE+\\u -]{0,24}\}?"#) {
        if Object::parse(text.as_bytes(), Limits::SMALL).is_ok() {
            prop_assert!(serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&text).is_ok());
        }
    }
}

#[test]
fn an_outline_is_written_with_other_texts() {
    let outline = Outline::parse(br#" { "a" : 1.50 , "b":{ "a": null},"c\u0022":"\u00e9" }"#).unwrap();
    assert_eq!(outline.with_texts(&[]), r#"{"a":1.50,"b":{ "a": null},"c\"":"\u00e9"}"#);
    let other = outline.with_texts(&[("a", "x\"\n"), ("d", "y"), ("c\"", "z")]);
    assert_eq!(other, r#"{"a":"x\"\n","b":{ "a": null},"c\"":"z","d":"y"}"#);
    assert_eq!(Outline::parse(b"{}").unwrap().with_texts(&[("a", "b")]), r#"{"a":"b"}"#);
}
