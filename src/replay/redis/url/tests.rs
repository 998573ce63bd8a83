use super::*;

fn parts(url: &str) -> Parts {
    Parts::read(url).unwrap_or_else(|(what, _)| panic!("{url}: {what}"))
}

fn what(urls: &[&str]) -> Vec<&'static str> {
    match RedisServers::parse(urls, None) {
        Ok(_) => Vec::new(),
        Err(bad) => bad.iter().map(|bad| bad.what).collect(),
    }
}

#[test]
fn a_url_is_taken_apart() {
    let host = |name: &str, port| (name.to_owned(), port);
    let plain = Parts {
        tls: false,
        user: None,
        password: None,
        hosts: vec![host("replay", 6379)],
        service: None,
        database: 0,
    };
    for (url, expected) in [
        ("redis://replay", plain.clone()),
        ("REDIS://REPLAY/", plain.clone()),
        ("redis://replay:6379/0", plain.clone()),
        (
            "redis://replay:7000/12",
            Parts { hosts: vec![host("replay", 7000)], database: 12, ..plain.clone() },
        ),
        ("rediss://[::1]:7000", Parts { tls: true, hosts: vec![host("::1", 7000)], ..plain.clone() }),
        (
            "redis://[2001:DB8::1]/1",
            Parts { hosts: vec![host("2001:db8::1", 6379)], database: 1, ..plain.clone() },
        ),
        ("redis://redis_server", Parts { hosts: vec![host("redis_server", 6379)], ..plain.clone() }),
        ("redis://127.0.0.1", Parts { hosts: vec![host("127.0.0.1", 6379)], ..plain.clone() }),
        (
            "redis://us%65r:p%2F%40%3A%23%3F%25s@replay",
            Parts { user: Some("user".into()), password: Some("p/@:#?%s".into()), ..plain.clone() },
        ),
        ("redis://:a:b@c@replay", Parts { password: Some("a:b@c".into()), ..plain.clone() }),
        ("redis://:p+%C3%A9@replay", Parts { password: Some("p+é".into()), ..plain.clone() }),
        (
            "redis+sentinel://one,two:26380,[::1]/main",
            Parts {
                hosts: vec![host("one", 26_379), host("two", 26_380), host("::1", 26_379)],
                service: Some("main".into()),
                ..plain.clone()
            },
        ),
        (
            "Rediss+Sentinel://user:pass@one:1/my-main.2/3",
            Parts {
                tls: true,
                user: Some("user".into()),
                password: Some("pass".into()),
                hosts: vec![host("one", 1)],
                service: Some("my-main.2".into()),
                database: 3,
            },
        ),
        (
            "redis+sentinel://one/main/",
            Parts { hosts: vec![host("one", 26_379)], service: Some("main".into()), ..plain },
        ),
    ] {
        assert!(parts(url) == expected, "{url}");
    }
}

#[test]
fn what_is_no_url_of_redis_is_refused() {
    for (url, expected) in [
        ("", "not a URL"),
        ("replay:6379", "not a URL"),
        ("redis:", "not a URL"),
        ("redis:/replay", "not a URL"),
        (" redis://replay", "white space"),
        ("redis://re\tplay", "white space"),
        ("http://replay", "scheme"),
        ("redi://replay", "scheme"),
        ("x+sentinel://one/main", "scheme"),
        ("sentinel://one/main", "scheme"),
        ("valkey://replay", "scheme"),
        ("unix:///run/redis.sock", "socket"),
        ("redis+unix:///run/redis.sock", "socket"),
        ("redis://", "no host"),
        ("redis:///0", "no host"),
        ("redis://:6379", "no host"),
        ("redis://user:pass@", "no host"),
        ("redis://user:pass@/0", "no host"),
        ("redis://re play", "white space"),
        ("redis://-replay", "neither a name"),
        ("redis://re^play", "neither a name"),
        ("redis://re%2Fplay", "neither a name"),
        ("redis://::1", "neither a name"),
        ("redis://[::1", "neither a name"),
        ("redis://1:2:3", "neither a name"),
        ("redis://[::1]x:1", "neither a name"),
        ("redis://[::g]", "neither a name"),
        ("redis://256.1.1.1", "neither a name"),
        ("redis://0.0.0.0", "every address"),
        ("redis://[::]:1", "every address"),
        ("redis://replay:", "the port"),
        ("redis://replay:0", "the port"),
        ("redis://replay:65536", "the port"),
        ("redis://replay:-1", "the port"),
        ("redis://replay:+1", "the port"),
        ("redis://replay:6379a", "the port"),
        ("redis://one,two", "several hosts"),
        ("redis://replay/x", "database"),
        ("redis://replay/-1", "database"),
        ("redis://replay/+1", "database"),
        ("redis://replay/1.5", "database"),
        ("redis://replay/1/2", "database"),
        ("redis://replay/0/", "database"),
        ("redis://replay//", "database"),
        ("redis://replay/2147483648", "database"),
        ("redis://replay/99999999999999999999", "database"),
        ("redis://replay?db=1", "query"),
        ("redis://replay/0?protocol=resp3", "query"),
        ("redis://replay/?", "query"),
        ("rediss://replay/#insecure", "fragment"),
        ("rediss://replay#", "fragment"),
        ("redis://user@replay", "without a password"),
        ("redis://@replay", "without a password"),
        ("redis://user:@replay", "password is empty"),
        ("redis://:@replay", "password is empty"),
        ("redis://:%zz@replay", "percent-encoding"),
        ("redis://:%2@replay", "percent-encoding"),
        ("redis://:%ff@replay", "percent-encoding"),
        ("redis+sentinel://", "no host"),
        ("redis+sentinel:///main", "no host"),
        ("redis+sentinel://one", "no service"),
        ("redis+sentinel://one/", "no service"),
        ("redis+sentinel://one//0", "no service"),
        ("redis+sentinel://one,/main", "no host"),
        ("redis+sentinel://,one/main", "no host"),
        ("redis+sentinel://one,one:26379/main", "same Sentinel"),
        ("redis+sentinel://one:0,two/main", "the port"),
        ("redis+sentinel://one/ma%20in", "no Sentinel takes"),
        ("redis+sentinel://one/main/x", "database"),
        ("redis+sentinel://one/main/0/1", "database"),
        ("redis+sentinel://one/main?sentinel_password=x", "query"),
        ("rediss+sentinel://one/main#insecure", "fragment"),
        ("redis+sentinel://user@one/main", "without a password"),
    ] {
        let said = what(&[url]);
        assert!(said.len() == 1 && said[0].contains(expected), "{url}: {said:?}");
    }
}

#[test]
fn a_list_is_of_one_cluster() {
    assert_eq!(what(&["redis://a", "redis://b:1/0", "redis://a:1"]), [""; 0]);
    assert_eq!(what(&["rediss://u:p@a", "rediss://u:p@b"]), [""; 0]);
    assert_eq!(what(&["redis://a/3"]), [""; 0], "a list of one is one server");
    assert_eq!(what(&["redis+sentinel://a/main"]), [""; 0]);
    assert_eq!(what(&[]), ["the list is empty"]);
    for (urls, expected) in [
        (&["redis://a", "rediss://b"][..], "TLS for some"),
        (&["redis://a", "redis://A:6379"], "same node twice"),
        (&["redis://a", "redis://b/1"], "with a database"),
        (&["redis://a", "redis://:p@b"], "another user or password"),
        (&["redis://u:p@a", "redis://v:p@b"], "another user or password"),
        (&["redis://a", "redis+sentinel://b/main"], "a Sentinel among"),
        (&["redis://a", "http://b"], "scheme"),
    ] {
        let said = what(urls);
        assert!(said.len() == 1 && said[0].contains(expected), "{urls:?}: {said:?}");
    }
    assert_eq!(what(&["redis+sentinel://a/main", "redis+sentinel://b/main"]).len(), 2);
    assert_eq!(what(&["http://a", "redis://b:0"]).len(), 2, "all of them at once");
}

#[test]
fn nothing_of_a_url_is_shown() {
    for url in [
        "redis://:s3/cret@a",
        "redis://s3cret@a",
        "redis://:s3?cret@a",
        "redis://:s3#cret@a",
        "s3cret",
        "redis://:s3%zzcret@a",
    ] {
        let said = format!("{:?}", RedisServers::parse(&[url], None).unwrap_err());
        assert!(!said.contains("s3") && !said.contains("cret@"), "{said}");
        assert!(url.len() < 10 || said.contains("password"), "{said}");
    }
    let good = RedisServers::parse(&["redis://:s3cret@a"], None).unwrap();
    assert!(!format!("{good:?}").contains("s3cret"));
}
