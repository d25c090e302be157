//! What does a user write to ask something of a token's claims?

use crate::document::{Default, Field, Key, Shape, quoted};
use crate::guards::access::claim::{Claim, Number, Texts, Values};
use crate::json::Json;

/// `authorization.rules[].principal.jwt.claims[]`
pub(super) static CLAIM: Shape = Shape::new(
    "authorization.rules[].principal.jwt.claims[]",
    "A claim and the values that it may have. A claim of another type than `valueType`, or one whose parent is no map \
            (`org: \"x\"` where `org.dept` is asked for), cannot be checked: an `Allow` rule does not match then, and a `Deny` rule \
            refuses. One that is missing or `null` does not match, but with `invert`.",
    &[
        Key::new(
            "name",
            "string",
            Default::Required,
            "As it stands in the token, or nested by its dots: `realm_access.roles`.",
        ),
        Key::new(
            "valueType",
            "`String`, `StringArray`, `Number` or `Boolean`",
            Default::Is("`String`"),
            "What the claim is. `String`, `Number`, `Boolean`: it is one of the values. `StringArray`: it is a list of strings that holds \
             one of the values, or all of them, as `match` says.",
        ),
        Key::new(
            "values",
            "list of strings, numbers or booleans",
            Default::Required,
            "Of the type of `valueType`. Numbers are compared exactly, and `1` and `1.0` are equal. A number from 2^53 on is exact only if \
             it is written without fraction or exponent and fits into 64 bits: a claim that is not cannot be checked, and such a value \
             is an error.",
        ),
        Key::new(
            "match",
            "`Any` or `All`",
            Default::Is("`Any`"),
            "Of a `StringArray`: how many of the values must be in it.",
        ),
        Key::new(
            "invert",
            "boolean",
            Default::Is("`false`"),
            "The claim must be there, be of its type throughout, and not match. One that is missing or `null` cannot be checked: what \
             nobody said is not known to be something else.",
        ),
    ],
);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Match {
    Any,
    All,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ValueType {
    String,
    StringArray,
    Number,
    Boolean,
}

const VALUE_TYPES: [(&str, ValueType); 4] = [
    ("String", ValueType::String),
    ("StringArray", ValueType::StringArray),
    ("Number", ValueType::Number),
    ("Boolean", ValueType::Boolean),
];

/// Reads one entry.
pub(super) fn read(field: &Field<'_>) -> Option<Claim> {
    let section = field.section(&CLAIM)?;
    let name = section.get("name").and_then(|name| name.text());
    let value_type =
        section.get("valueType").map_or(Some(ValueType::String), |field| field.one_of(&VALUE_TYPES));
    let matching = section.get("match").map_or(Some(Match::Any), |field| read_match(&field, value_type));
    let invert = section.get("invert").map_or(Some(false), |field| field.boolean());
    let values = section.get("values").zip(value_type);
    let values = values.and_then(|(field, value_type)| read_values(&field, value_type, matching));
    Some(Claim { name: name?.into(), values: values?, invert: invert? })
}

fn read_match(field: &Field<'_>, value_type: Option<ValueType>) -> Option<Match> {
    let matching = field.one_of(&[("Any", Match::Any), ("All", Match::All)])?;
    if matching == Match::All && value_type.is_some_and(|value_type| value_type != ValueType::StringArray) {
        field.error(
            "one claim cannot be several values",
            "write `valueType: StringArray`, or leave `match` out",
        );
        return None;
    }
    Some(matching)
}

fn read_values(field: &Field<'_>, value_type: ValueType, matching: Option<Match>) -> Option<Values> {
    Some(match value_type {
        ValueType::String => Values::Text(texts(field)?),
        ValueType::StringArray => {
            let texts = texts(field)?;
            if matching? == Match::All { Values::AllTexts(texts) } else { Values::AnyText(texts) }
        }
        ValueType::Number => Values::Number(numbers(field)?),
        ValueType::Boolean => Values::Boolean(one_boolean(field)?),
    })
}

fn texts(field: &Field<'_>) -> Option<Texts> {
    let elements = elements(field, "a string", |value| matches!(value, Json::Text(_)))?;
    let mut texts = Vec::with_capacity(elements.len());
    let mut whole = true;
    for element in elements {
        match element.text() {
            None => whole = false,
            Some(text) if texts.contains(&text) => {
                element.error(format!("{} stands twice", quoted(text)), "");
                whole = false;
            }
            Some(text) => texts.push(text),
        }
    }
    whole.then(|| Texts::new(&texts))
}

fn numbers(field: &Field<'_>) -> Option<Vec<Number>> {
    let elements = elements(field, "a number", |value| matches!(value, Json::Integer(_) | Json::Number(_)))?;
    let mut numbers = Vec::with_capacity(elements.len());
    let mut whole = true;
    for element in elements {
        match Number::exactly(element.value) {
            None => {
                element.error("a number that is not exact", "beyond 2^53: digits only, of at most 64 bits");
                whole = false;
            }
            Some(number) if numbers.contains(&number) => {
                element.error("the number stands twice", "");
                whole = false;
            }
            Some(number) => numbers.push(number),
        }
    }
    whole.then_some(numbers)
}

fn one_boolean(field: &Field<'_>) -> Option<bool> {
    let elements = elements(field, "`true` or `false`", |value| matches!(value, Json::Bool(_)))?;
    if let [one] = elements.as_slice() {
        return one.boolean();
    }
    field.error("more than one boolean", "write `[true]` or `[false]`: every boolean is one of the two");
    None
}

/// The elements, if all of them fit. Those that do not are noted, with the `valueType` that they would take.
fn elements<'d>(field: &Field<'d>, what: &str, fits: impl Fn(&Json) -> bool) -> Option<Vec<Field<'d>>> {
    let elements = field.short_list()?;
    let mut whole = true;
    for element in elements.iter().filter(|element| !fits(element.value)) {
        let help = match element.value {
            Json::Integer(_) | Json::Number(_) => "for numbers write `valueType: Number`",
            // YAML 1.1, which Envoy and many tools read, has words for booleans.
            Json::Bool(_) => "for booleans write `valueType: Boolean`; a word like `no` or `off` in quotes",
            Json::Text(_) => "write it without quotes, or `valueType: String`",
            _ => "",
        };
        element.error(format!("expected {what}, found {}", element.value.kind()), help);
        whole = false;
    }
    whole.then_some(elements)
}
