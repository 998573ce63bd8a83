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
        (b"{\"a\":[[[[[[[[]]]]]]]]}", JsonError::TooLarge),
        (b"{\"\":{\"\":{\"\":{\"\":{\"\":{\"\":{\"\":{\"\":{}}}}}}}}}", JsonError::TooLarge),
        (b"{\"a\":[[[[[[[[[[[[[[[[", JsonError::TooLarge),
    ];
    for (text, error) in cases {
        assert_eq!(Object::parse(text), Err(error), "{}", text.escape_ascii());
    }
}

#[test]
fn values_are_what_they_say() {
    let text = br#" {"n":null,"t":true,"i":-7,"m":9223372036854775807,"u":9223372036854775808,"f":1.0,"e":1e3,"s":"a\"b","a":[1,{"x":""}],"o":{}} "#;
    let object = Object::parse(text).unwrap();
    let expected = [
        ("n", Value::Null),
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
    assert_eq!(object.iter().map(|(name, _)| name).collect::<String>(), "ntimufesao");
    assert_eq!(object.clone().into_owned(), object);
}

#[test]
fn plain_strings_are_borrowed() {
    let object = Object::parse(br#"{"plain":"text","esc\u0061ped":"\n"}"#).unwrap();
    let borrowed = |text: &Cow<'_, str>| matches!(text, Cow::Borrowed(_));
    let kinds = object.members.iter().map(|(name, value)| {
        let Value::String(text) = value else { panic!("{value:?} is no string") };
        (borrowed(name), borrowed(text))
    });
    assert_eq!(kinds.collect::<Vec<_>>(), [(true, true), (false, false)]);
}

#[test]
fn limits_are_exact() {
    assert!(Object::parse(br#"{"a":[[[[[[[]]]]]]]}"#).is_ok(), "eight deep");
    let items = |count: usize| format!(r#"{{"a":[{}]}}"#, vec!["0"; count].join(","));
    let members = |count: usize| {
        let members: Vec<_> = (0..count).map(|number| format!(r#""{number}":0"#)).collect();
        format!("{{{}}}", members.join(","))
    };
    for (text, accepted) in
        [(items(1023), true), (items(1024), false), (members(1024), true), (members(1025), false)]
    {
        assert_eq!(Object::parse(text.as_bytes()).is_ok(), accepted);
    }
    assert!(Object::parse_bounded(members(5000).as_bytes(), 5000).is_ok());
    assert_eq!(Object::parse_bounded(b"{\"a\":0}", 0), Err(JsonError::TooLarge));
}

#[test]
fn a_duplicate_is_found_among_few_and_among_many() {
    for count in 2..40 {
        for twin in 0..count - 1 {
            let mut names: Vec<String> = (0..count).map(|number| format!(r#""{number}":0"#)).collect();
            assert!(Object::parse(format!("{{{}}}", names.join(",")).as_bytes()).is_ok());
            names[count - 1] = names[twin].clone();
            let text = format!("{{{}}}", names.join(","));
            assert_eq!(Object::parse(text.as_bytes()), Err(JsonError::Duplicate), "{text}");
        }
    }
}

proptest! {
    #[test]
    fn bytes_never_panic(text in prop::collection::vec(any::<u8>(), 0..64)) {
        let _unused = Object::parse(&text);
    }

    #[test]
    fn is_no_laxer_than_serde_json(text in r#"\{"a":[\[\]{}",:0-9.eE+\\u -]{0,24}\}?"#) {
        if Object::parse(text.as_bytes()).is_ok() {
            prop_assert!(serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&text).is_ok());
        }
    }
}
