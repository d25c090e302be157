//! What is in the files that a policy names in place of variables? `{file: PATH}` is for the command line: the proxy's sandbox has none.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use portcullis_filter::decision::Detail;
use portcullis_filter::document::Shape;
use portcullis_filter::guards::assertion::Ring;
use portcullis_filter::json::Json;
use portcullis_filter::limits;
use portcullis_filter::policy::{POLICY, Policy};
use portcullis_filter::problem::{Problem, Severity};

/// The files of one policy.
pub(crate) struct Files(Vec<Found>);

struct Found {
    /// Where the policy names it.
    place: String,
    /// What stands there in its place.
    variable: String,
    content: Result<Vec<u8>, String>,
}

impl Files {
    /// Puts a variable in the place of each file, wherever the format takes one, and reads the files. A relative path counts from
    /// `directory`.
    pub(crate) fn take(document: &mut Json, directory: &Path) -> Self {
        let mut found = Vec::new();
        walk(&POLICY, document, "", &mut |place, path| {
            let variable = format!("FILE_{}", found.len());
            let content = read(&directory.join(path));
            found.push(Found { place: place.to_owned(), variable: variable.clone(), content });
            variable
        });
        Self(found)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is wrong with them, as the gateway would find it, and how bad it is that there are any.
    pub(crate) fn problems(&self, policy: Option<&mut Policy>, that_there_are: Severity) -> Vec<Problem> {
        let mut problems = Vec::new();
        for found in &self.0 {
            if let Err(error) = &found.content {
                problems.push(found.problem(Severity::Error, error, ""));
            }
        }
        for (variable, what) in policy.map(|policy| self.faults(policy)).unwrap_or_default() {
            let is_read = |found: &&Found| found.variable == variable && found.content.is_ok();
            problems
                .extend(self.0.iter().find(is_read).map(|found| found.problem(Severity::Error, &what, "")));
        }
        let help = "give the gateway `{env: NAME}`, and the file's content in NAME";
        let alone = "a file is read by the command line alone, and the gateway refuses it";
        problems.extend(self.0.iter().map(|found| found.problem(that_there_are, alone, help)));
        problems
    }

    /// The variables that cannot be used, and why.
    fn faults(&self, policy: &mut Policy) -> Vec<(String, String)> {
        let env = |name: &str| {
            let found = self.0.iter().find(|found| found.variable == name)?;
            found.content.clone().ok()
        };
        policy.providers.resolve(env);
        policy.audit.resolve(env);
        if let Some(signing) = &mut policy.signing {
            signing.resolve(env, [0; 16]);
        }
        let keys = policy.providers.without_keys().map(|(_, why)| why.clone());
        let of_two = policy.providers.without_one_of_two(env).into_iter().map(|(_, why)| why);
        let peppers = policy.providers.without_pepper().cloned();
        let signing = policy.signing.iter().flat_map(Ring::without_key).map(|(_, why)| why.clone());
        let mut faults: Vec<(String, String)> =
            keys.chain(of_two).chain(peppers).chain(signing).filter_map(fault).collect();
        faults.extend(
            policy
                .audit
                .subjects
                .without_key()
                .map(|name| (name.to_string(), "shorter than 32 bytes".to_owned())),
        );
        let exporter = policy.audit.sinks.otlp.as_ref();
        let header = exporter.and_then(|exporter| exporter.without_header());
        faults.extend(header.map(|name| (name.to_string(), "no header can hold it".to_owned())));
        // What two of them have told is one fault.
        faults.sort();
        faults.dedup();
        faults
    }
}

impl Found {
    fn problem(&self, severity: Severity, message: &str, help: &str) -> Problem {
        Problem {
            severity,
            place: self.place.clone(),
            message: message.to_owned().into(),
            help: help.to_owned().into(),
        }
    }
}

/// Which variable, and what is wrong with it, in words for a file.
fn fault(why: Detail) -> Option<(String, String)> {
    let Detail::Named(what, variable) = why else { return None };
    let what = what.strip_suffix(" in environment variable").unwrap_or("the file is empty");
    Some((variable.to_string(), what.to_owned()))
}

/// Every map in which the format takes a variable and the document has a file. How deep a document is was looked at when it was read.
fn walk(shape: &Shape, value: &mut Json, place: &str, take: &mut impl FnMut(&str, &str) -> String) {
    match value {
        Json::List(list) => {
            for (index, element) in list.iter_mut().enumerate() {
                walk(shape, element, &format!("{place}[{index}]"), take);
            }
        }
        Json::Map(members) => {
            let takes = |name| shape.keys.iter().any(|key| key.name == name);
            let named = |members: &[(String, Json)], name| members.iter().any(|(known, _)| known == name);
            if takes("env") && !takes("file") && !named(members, "env") {
                let file = members.iter_mut().find(|(name, _)| name == "file");
                if let Some((name, Json::Text(text))) = file {
                    *text = take(place, text);
                    "env".clone_into(name);
                }
            }
            for (name, value) in members {
                let key = shape.keys.iter().find(|key| key.name == name);
                if let Some(shape) = key.and_then(|key| key.shape) {
                    let place = if place.is_empty() { name.clone() } else { format!("{place}.{name}") };
                    walk(shape, value, &place, take);
                }
            }
        }
        _ => {}
    }
}

/// As `NAME="$(cat FILE)"` puts it into a variable: without the line breaks at its end.
fn read(path: &Path) -> Result<Vec<u8>, String> {
    let most = limits::POLICY_BYTES as u64;
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(most + 1).read_to_end(&mut bytes));
    read.map_err(|error| format!("the file cannot be read: {error}"))?;
    if bytes.len() as u64 > most {
        return Err("the file is larger than a policy may be".to_owned());
    }
    if bytes.contains(&0) {
        return Err("the file holds a NUL, which no variable can hold".to_owned());
    }
    let end = bytes.iter().rposition(|b| *b != b'\n').map_or(0, |at| at + 1);
    bytes.truncate(end);
    Ok(bytes)
}
