//! What may stand in a map of the format, and what should a reader know of it? The reference is printed from these.

/// The keys of one map of the format.
#[derive(Debug)]
pub struct Shape {
    /// The heading in the reference: `jwt.providers[]`.
    pub name: &'static str,
    /// One or two sentences.
    pub about: &'static str,
    /// The keys, in the order in which a person would write them.
    pub keys: &'static [Key],
}

impl Shape {
    /// The shape of that name.
    pub const fn new(name: &'static str, about: &'static str, keys: &'static [Key]) -> Self {
        Self { name, about: in_reference(about), keys }
    }
}

/// Text for a reader of the reference, which the command prints. The plugin has no use for tens of kilobytes of it.
pub const fn in_reference(text: &'static str) -> &'static str {
    if cfg!(target_os = "wasi") { "" } else { text }
}

/// One key of a [`Shape`].
#[derive(Debug)]
pub struct Key {
    /// As it is written.
    pub name: &'static str,
    /// What may stand there, as the reference says it: `duration`, `list of strings`, or the name of another shape.
    pub kind: &'static str,
    /// What holds when it is left out.
    pub default: Default,
    /// What it does, with its bounds.
    pub about: &'static str,
    /// The shape of the value, where it is a map or a list of maps.
    pub shape: Option<&'static Shape>,
}

/// What holds when a key is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Default {
    /// It may not be left out.
    Required,
    /// The text of the default.
    Is(&'static str),
}

impl Key {
    /// A key with a plain value.
    pub const fn new(name: &'static str, kind: &'static str, default: Default, about: &'static str) -> Self {
        // The plugin repeats what a key is about where one is missing. The rest is for the reference.
        if cfg!(target_os = "wasi") && !matches!(default, Default::Required) {
            return Self { name, kind: "", default: Default::Is(""), about: "", shape: None };
        }
        Self { name, kind, default, about, shape: None }
    }

    /// A key whose value (or each element of whose list) is a map.
    #[must_use]
    pub const fn nested(self, shape: &'static Shape) -> Self {
        Self { shape: Some(shape), ..self }
    }
}
