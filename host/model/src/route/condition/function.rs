//! The functions of conditions: names, parameters, results.
//!
//! Owns the table of functions and what each does with known values. Leaves
//! finding a function by a call, and its faults, to [`super::check`].

use super::Compatibility;
use super::value::{Type, Value};

/// A function of conditions, but for `twin_change_includes`, whose argument
/// is no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Abs,
    Exp,
    Power,
    Square,
    Ceiling,
    Floor,
    Sign,
    Sqrt,
    AsNumber,
    IsArray,
    IsBool,
    IsDefined,
    IsNull,
    IsNumber,
    IsObject,
    IsPrimitive,
    IsString,
    Concat,
    Length,
    Lower,
    Upper,
    Substring,
    IndexOf,
    StartsWith,
    EndsWith,
    Contains,
}

/// The name of the function whose argument is a path.
pub(super) const TWIN_CHANGE_INCLUDES: &str = "twin_change_includes";

/// What a parameter takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parameter {
    Number,
    Text,
    TextOrNumber,
    Any,
}

/// How a function is called.
pub(super) struct Signature {
    pub(super) function: Function,
    pub(super) name: &'static str,
    /// As people read it.
    pub(super) form: &'static str,
    pub(super) parameters: &'static [Parameter],
    /// How many arguments there have to be.
    pub(super) arguments_min: usize,
    /// Whether the last parameter can be repeated.
    pub(super) is_open: bool,
    pub(super) result: Type,
}

const fn fixed(
    function: Function,
    name: &'static str,
    form: &'static str,
    parameters: &'static [Parameter],
    result: Type,
) -> Signature {
    Signature {
        function,
        name,
        form,
        parameters,
        arguments_min: parameters.len(),
        is_open: false,
        result,
    }
}

/// All functions, in the order of the documentation.
pub(super) const SIGNATURES: [Signature; 26] = {
    use self::Function::*;
    use self::Parameter::{Any, Number, Text, TextOrNumber};
    use Type::Bool;
    [
        fixed(Abs, "abs", "abs(number)", &[Number], Type::Number),
        fixed(Exp, "exp", "exp(number)", &[Number], Type::Number),
        fixed(
            Power,
            "power",
            "power(number, exponent)",
            &[Number, Number],
            Type::Number,
        ),
        fixed(Square, "square", "square(number)", &[Number], Type::Number),
        fixed(
            Ceiling,
            "ceiling",
            "ceiling(number)",
            &[Number],
            Type::Number,
        ),
        fixed(Floor, "floor", "floor(number)", &[Number], Type::Number),
        fixed(Sign, "sign", "sign(number)", &[Number], Type::Number),
        fixed(Sqrt, "sqrt", "sqrt(number)", &[Number], Type::Number),
        fixed(
            AsNumber,
            "as_number",
            "as_number(text)",
            &[TextOrNumber],
            Type::Number,
        ),
        fixed(IsArray, "is_array", "is_array(value)", &[Any], Bool),
        fixed(IsBool, "is_bool", "is_bool(value)", &[Any], Bool),
        fixed(IsDefined, "is_defined", "is_defined(value)", &[Any], Bool),
        fixed(IsNull, "is_null", "is_null(value)", &[Any], Bool),
        fixed(IsNumber, "is_number", "is_number(value)", &[Any], Bool),
        fixed(IsObject, "is_object", "is_object(value)", &[Any], Bool),
        fixed(
            IsPrimitive,
            "is_primitive",
            "is_primitive(value)",
            &[Any],
            Bool,
        ),
        fixed(IsString, "is_string", "is_string(value)", &[Any], Bool),
        Signature {
            is_open: true,
            ..fixed(
                Concat,
                "concat",
                "concat(text, text, ...)",
                &[Text, Text],
                Type::Text,
            )
        },
        fixed(Length, "length", "length(text)", &[Text], Type::Number),
        fixed(Lower, "lower", "lower(text)", &[Text], Type::Text),
        fixed(Upper, "upper", "upper(text)", &[Text], Type::Text),
        Signature {
            arguments_min: 2,
            ..fixed(
                Substring,
                "substring",
                "substring(text, start) or substring(text, start, length)",
                &[Text, Number, Number],
                Type::Text,
            )
        },
        fixed(
            IndexOf,
            "index_of",
            "index_of(text, part)",
            &[Text, Text],
            Type::Number,
        ),
        fixed(
            StartsWith,
            "starts_with",
            "starts_with(text, start)",
            &[Text, Text],
            Bool,
        ),
        fixed(
            EndsWith,
            "ends_with",
            "ends_with(text, end)",
            &[Text, Text],
            Bool,
        ),
        fixed(
            Contains,
            "contains",
            "contains(text, part)",
            &[Text, Text],
            Bool,
        ),
    ]
};

impl Signature {
    /// The function of a name, upper and lower case alike.
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        SIGNATURES
            .iter()
            .find(|signature| signature.name.eq_ignore_ascii_case(name))
    }

    /// Whether IoT Edge's hub has it too.
    pub(super) fn is_in(&self, compatibility: Compatibility) -> bool {
        use Function::{IsArray, IsObject, IsPrimitive};
        let is_cloud_only = matches!(self.function, IsArray | IsObject | IsPrimitive);
        compatibility == Compatibility::Documented || !is_cloud_only
    }

    /// What the argument at an index has to be.
    pub(super) fn parameter(&self, index: usize) -> Parameter {
        self.parameters[index.min(self.parameters.len() - 1)]
    }

    pub(super) fn takes(&self, arguments: usize) -> bool {
        arguments >= self.arguments_min && (self.is_open || arguments <= self.parameters.len())
    }
}

impl Parameter {
    pub(super) fn takes(self, given: Type) -> bool {
        matches!(
            (self, given),
            (Self::Any, _)
                | (_, Type::Any | Type::Undefined)
                | (Self::Number | Self::TextOrNumber, Type::Number)
                | (Self::Text | Self::TextOrNumber, Type::Text)
        )
    }

    /// In words, for faults.
    pub(super) fn expected(self) -> &'static str {
        match self {
            Self::Number => "a number",
            Self::Text => "a text",
            Self::TextOrNumber => "a text or a number",
            Self::Any => "a value",
        }
    }
}

impl Function {
    /// What it says of the type of a value; none for those that do not ask.
    pub(super) fn of_type(self, value: &Value<'_>) -> Option<bool> {
        Some(match self {
            Self::IsArray => matches!(value, Value::Array),
            Self::IsObject => matches!(value, Value::Object),
            Self::IsBool => matches!(value, Value::Bool(_)),
            Self::IsNull => matches!(value, Value::Null),
            Self::IsNumber => matches!(value, Value::Number(number) if number.is_finite()),
            Self::IsString => matches!(value, Value::Text(_)),
            Self::IsPrimitive | Self::IsDefined => value.is_defined(),
            _ => return None,
        })
    }

    /// Its value for known arguments, of which there are as many as it takes.
    /// `concat` is not among these: its arguments are put together one by one.
    pub(super) fn value<'a>(self, first: Value<'a>, others: [Value<'a>; 2]) -> Value<'a> {
        if let Some(is_so) = self.of_type(&first) {
            return Value::Bool(is_so);
        }
        let [second, third] = others;
        match (self, first) {
            (Self::Power, Value::Number(number)) => match second {
                Value::Number(exponent) => Value::number(number.powf(exponent)),
                _ => Value::Undefined,
            },
            (Self::AsNumber, Value::Number(number)) => Value::number(number),
            (_, Value::Number(number)) => self.of_number(number),
            (Self::Substring, Value::Text(text)) => substring(text, &second, &third),
            (_, Value::Text(text)) => match second {
                Value::Text(part) => self.of_texts(&text, &part),
                _ => self.of_text(text),
            },
            _ => Value::Undefined,
        }
    }

    fn of_number<'a>(self, number: f64) -> Value<'a> {
        Value::number(match self {
            Self::Abs => number.abs(),
            Self::Exp => number.exp(),
            Self::Square => number * number,
            Self::Ceiling => number.ceil(),
            Self::Floor => number.floor(),
            Self::Sign if number == 0.0 => 0.0,
            Self::Sign => number.signum(),
            Self::Sqrt => number.sqrt(),
            _ => f64::NAN,
        })
    }

    fn of_text<'a>(self, text: std::borrow::Cow<'a, str>) -> Value<'a> {
        match self {
            Self::Length => Value::Number(utf16_length(&text) as f64),
            Self::Lower if text.chars().all(|c| simple(c, c.to_lowercase()) == c) => {
                Value::Text(text)
            }
            Self::Upper if text.chars().all(|c| simple(c, c.to_uppercase()) == c) => {
                Value::Text(text)
            }
            Self::Lower => {
                let lower: String = text.chars().map(|c| simple(c, c.to_lowercase())).collect();
                Value::Text(lower.into())
            }
            Self::Upper => {
                let upper: String = text.chars().map(|c| simple(c, c.to_uppercase())).collect();
                Value::Text(upper.into())
            }
            _ => Value::Undefined,
        }
    }

    fn of_texts<'a>(self, text: &str, part: &str) -> Value<'a> {
        match self {
            Self::IndexOf => Value::Number(match text.find(part) {
                Some(index) => utf16_length(&text[..index]) as f64,
                None => -1.0,
            }),
            Self::StartsWith => Value::Bool(text.starts_with(part)),
            Self::EndsWith => Value::Bool(text.ends_with(part)),
            Self::Contains => Value::Bool(text.contains(part)),
            _ => Value::Undefined,
        }
    }
}

/// The case of one character, where it is one character too.
fn simple(c: char, mut changed: impl Iterator<Item = char>) -> char {
    match (changed.next(), changed.next()) {
        (Some(one), None) => one,
        _ => c,
    }
}

/// The length in UTF-16, in which the hubs count.
fn utf16_length(text: &str) -> usize {
    match text.is_ascii() {
        true => text.len(),
        false => text.encode_utf16().count(),
    }
}

/// The offset in bytes of a count of UTF-16 units; none inside a character,
/// or behind the end.
fn utf16_offset(text: &str, units: usize) -> Option<usize> {
    if text.is_ascii() {
        return (units <= text.len()).then_some(units);
    }
    let mut left = units;
    for (offset, c) in text.char_indices() {
        if left == 0 {
            return Some(offset);
        }
        left = left.checked_sub(c.len_utf16())?;
    }
    (left == 0).then_some(text.len())
}

/// Without a length, all from the start on, which may be the end; with one,
/// all of it has to be there, and the start before the end.
fn substring<'a>(
    text: std::borrow::Cow<'a, str>,
    start: &Value<'_>,
    length: &Value<'_>,
) -> Value<'a> {
    use std::borrow::Cow;
    let bounds = match (start, length) {
        (Value::Number(start), Value::Number(length)) => {
            let total = utf16_length(&text) as f64;
            let is_inside = *start >= 0.0 && *start < total;
            let is_there = *length >= 0.0 && *length <= total - start;
            (is_inside && is_there).then_some((*start as usize, Some(*length as usize)))
        }
        (Value::Number(start), Value::Null) => (*start >= 0.0).then_some((*start as usize, None)),
        _ => None,
    };
    let offsets = bounds.and_then(|(start, length)| {
        let from = utf16_offset(&text, start)?;
        let to = match length {
            Some(length) => from + utf16_offset(&text[from..], length)?,
            None => text.len(),
        };
        Some(from..to)
    });
    match (offsets, text) {
        (None, _) => Value::Undefined,
        (Some(range), Cow::Borrowed(text)) => Value::Text(Cow::Borrowed(&text[range])),
        (Some(range), Cow::Owned(text)) => Value::Text(Cow::Owned(text[range].to_owned())),
    }
}

/// The number that a text says, with white space around it allowed.
///
/// IoT Edge's hub takes more: `1,000`, `5-` and `(5)` for -5, and `Infinity`.
pub(super) fn number_of(text: &str, compatibility: Compatibility) -> Option<f64> {
    let text = text.trim();
    match compatibility {
        Compatibility::Documented => decimal(text),
        Compatibility::EdgeHub => decimal(text).or_else(|| lenient(text)),
    }
}

/// A number in digits; words such as `inf`, which Rust reads too, are none.
fn decimal(text: &str) -> Option<f64> {
    let is_part = |b: u8| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E');
    text.bytes()
        .all(is_part)
        .then(|| text.parse().ok())
        .flatten()
}

fn lenient(text: &str) -> Option<f64> {
    if let Some(inner) = text
        .strip_prefix('(')
        .and_then(|rest| rest.strip_suffix(')'))
    {
        return unsigned(inner.trim()).map(|number| -number);
    }
    if let Some(inner) = text.strip_suffix('-') {
        return unsigned(inner.trim()).map(|number| -number);
    }
    if let Some(inner) = text.strip_suffix('+') {
        return unsigned(inner.trim());
    }
    match text.strip_prefix('-') {
        Some(inner) => unsigned(inner.trim_start()).map(|number| -number),
        None => unsigned(text.strip_prefix('+').unwrap_or(text).trim_start()),
    }
}

/// Digits with commas among those before the point, or the word for too many.
fn unsigned(text: &str) -> Option<f64> {
    if text.eq_ignore_ascii_case("infinity") {
        return Some(f64::INFINITY);
    }
    let (whole, rest) = text.split_at(text.find(['.', 'e', 'E']).unwrap_or(text.len()));
    let is_whole = whole.bytes().all(|b| b.is_ascii_digit() || b == b',');
    let is_number = is_whole && !whole.starts_with(',') && !rest.contains(',');
    is_number
        .then(|| decimal(&format!("{}{rest}", whole.replace(',', ""))))
        .flatten()
}
