//! Sections whose guards are built elsewhere: they are refused here, each with a message, until they are joined.

/// In place of `guards::identity`.
pub mod identity {
    use std::rc::Rc;

    use crate::document::{Default, Field, Key, Shape};

    /// `jwt`
    pub static JWT: Shape = Shape {
        name: "jwt",
        about: "Issuers.",
        keys: &[Key::new(
            "providers",
            "list of maps",
            Default::Required,
            "Issuers.",
        )],
    };

    /// `authentication`
    pub static AUTHENTICATION: Shape = Shape {
        name: "routes[].authentication",
        about: "Who is asked for.",
        keys: &[
            Key::new("jwt", "map", Default::Is(""), ""),
            Key::new("open", "map", Default::Is(""), ""),
            Key::new("anyOf", "map", Default::Is(""), ""),
        ],
    };

    /// Names alone.
    #[derive(Debug, core::default::Default)]
    pub struct Providers {
        names: Vec<Rc<str>>,
    }

    impl Providers {
        /// The names.
        pub fn names(&self) -> &[Rc<str>] {
            &self.names
        }
    }

    /// Whose tokens; empty is open.
    #[derive(Debug)]
    pub struct Authentication(Vec<Rc<str>>);

    impl Authentication {
        /// Whose tokens.
        pub fn accepted<'p>(&'p self, _: &'p Providers) -> Vec<Rc<str>> {
            self.0.clone()
        }
    }

    /// Names alone.
    pub fn read_jwt(field: &Field<'_>) -> Providers {
        let list = field
            .section(&JWT)
            .and_then(|section| section.get("providers"))
            .and_then(|list| list.list())
            .unwrap_or_default();
        let name = |element: &Field<'_>| {
            element
                .value
                .get("name")
                .and_then(|name| name.as_text().map(Rc::from))
        };
        Providers {
            names: list.iter().filter_map(name).collect(),
        }
    }

    /// Open, or all providers.
    pub fn read_authentication(field: &Field<'_>, providers: &Providers) -> Option<Authentication> {
        let section = field.section(&AUTHENTICATION)?;
        Some(Authentication(if section.has("open") {
            Vec::new()
        } else {
            providers.names.clone()
        }))
    }
}

/// In place of `guards::rate_limit`.
pub mod rate_limit {
    use crate::document::{Default, Field, Key, Shape};

    /// `rateLimit`
    pub static RATE_LIMIT: Shape = Shape {
        name: "rateLimit",
        about: "How often.",
        keys: &[Key::new(
            "local",
            "map",
            Default::Required,
            "Limits of one proxy.",
        )],
    };

    /// None.
    #[derive(Debug, core::default::Default)]
    pub struct Rules;

    impl Rules {
        /// Whether a rule asks for the client's address.
        pub fn needs_address(&self) -> bool {
            false
        }
    }

    /// None.
    pub fn read(field: &Field<'_>) -> Option<Rules> {
        field.error("not joined yet", "");
        None
    }
}
