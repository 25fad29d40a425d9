//! Message templates: texts that WhatsApp approves before they are sent, in and out of Meta's component form
//! (protocols/meta.md 12 and 15).
//!
//! Reading is tolerant: what a provider lists is kept whole, whatever it is. What would be refused is the business of
//! [`lint`], what a send needs that of [`parameters`].

mod json;
pub mod lint;
pub mod parameters;
pub mod slots;
mod state;
mod words;

use serde_json::{Map, Value};

pub use self::state::{Change, RemoteTemplate, Standing};
pub use self::words::{TemplateCategory, TemplateQuality, TemplateStatus, fold_language};

/// A message template.
#[derive(Debug, Clone, PartialEq)]
pub struct MessageTemplate {
    /// Its name; with the language it names one template of the account.
    pub name: String,
    /// Its language code, such as `en_US`.
    pub language: String,
    /// What it is for.
    pub category: TemplateCategory,
    /// How its variables are written.
    pub format: ParameterFormat,
    /// How many seconds a message is kept for a phone that is off; -1 is 30 days.
    pub ttl_seconds: Option<i64>,
    /// Its parts, in their order.
    pub components: Vec<Component>,
}

/// How variables are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ParameterFormat {
    /// `{{1}}`, `{{2}}` …
    #[default]
    Positional,
    /// `{{name}}`.
    Named,
}

impl ParameterFormat {
    /// Meta's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Positional => "POSITIONAL",
            Self::Named => "NAMED",
        }
    }

    /// Reads Meta's word in any case.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Positional, Self::Named]
            .into_iter()
            .find(|format| format.as_str().eq_ignore_ascii_case(word.trim()))
    }
}

/// A part of a message template.
#[derive(Debug, Clone, PartialEq)]
pub enum Component {
    /// What stands above the text.
    Header(Header),
    /// The text.
    Body(Body),
    /// The small line below.
    Footer(Footer),
    /// The buttons.
    Buttons(Vec<Button>),
    /// Cards side by side, each made of components.
    Carousel(Vec<Vec<Component>>),
    /// Anything else, as it came (`LIMITED_TIME_OFFER` and kinds of later years).
    Other {
        /// The provider's word, in upper case; empty when there was none.
        kind: String,
        /// Its properties without the kind.
        properties: Map<String, Value>,
    },
}

/// What stands above the text.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// Of which kind.
    pub format: HeaderFormat,
    /// The text, when it is one.
    pub text: String,
    /// Samples for its variable.
    pub examples: Vec<Example>,
    /// Handles or links of a sample file.
    pub handles: Vec<String>,
}

/// The kind of a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderFormat {
    /// A line of text.
    Text,
    /// A picture, given at each send.
    Image,
    /// A film, given at each send.
    Video,
    /// A file, given at each send.
    Document,
    /// A place, given at each send.
    Location,
    /// A product of the catalogue, given at each send.
    Product,
    /// A kind of a later year, in upper case.
    Other(String),
}

impl HeaderFormat {
    /// Meta's word.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Text => "TEXT",
            Self::Image => "IMAGE",
            Self::Video => "VIDEO",
            Self::Document => "DOCUMENT",
            Self::Location => "LOCATION",
            Self::Product => "PRODUCT",
            Self::Other(word) => word,
        }
    }

    fn read(word: &str) -> Self {
        match word.to_ascii_uppercase().as_str() {
            "" | "TEXT" => Self::Text,
            "IMAGE" => Self::Image,
            "VIDEO" => Self::Video,
            "DOCUMENT" => Self::Document,
            "LOCATION" => Self::Location,
            "PRODUCT" => Self::Product,
            other => Self::Other(other.to_owned()),
        }
    }

    /// Whether a file stands there.
    #[must_use]
    pub const fn is_media(&self) -> bool {
        matches!(self, Self::Image | Self::Video | Self::Document)
    }
}

/// The text.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Body {
    /// With `{{variables}}`. Empty in authentication templates, whose text is WhatsApp's own.
    pub text: String,
    /// Samples for its variables.
    pub examples: Vec<Example>,
    /// Authentication: whether WhatsApp adds that the code is not to be shared.
    pub security_recommendation: Option<bool>,
}

/// The small line below.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Footer {
    /// The text. Empty in authentication templates.
    pub text: String,
    /// Authentication: after how many minutes the code ends.
    pub code_expiration_minutes: Option<i64>,
}

/// A sample of what a variable may stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// The variable: its number or its name.
    pub name: String,
    /// The sample.
    pub value: String,
}

/// A button.
#[derive(Debug, Clone, PartialEq)]
pub struct Button {
    /// What a tap does.
    pub kind: ButtonKind,
    /// The label.
    pub text: String,
    /// Everything else: `url`, `phone_number`, `example`, `otp_type`, `flow_id` …
    pub properties: Map<String, Value>,
}

/// What a tap on a button does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ButtonKind {
    /// Sends the label back to us.
    QuickReply,
    /// Opens a page.
    Url,
    /// Calls a phone.
    PhoneNumber,
    /// Copies a code.
    CopyCode,
    /// Opens a WhatsApp Flow.
    Flow,
    /// Opens the catalogue.
    Catalog,
    /// Shows several products.
    MultiProduct,
    /// Shows one product.
    SingleProduct,
    /// Authentication: copies or fills in the code.
    Otp,
    /// Calls us on WhatsApp.
    VoiceCall,
    /// Asks for the person's number.
    RequestContactInfo,
    /// A kind of a later year, in upper case.
    Other(String),
}

impl ButtonKind {
    /// Meta's word.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::QuickReply => "QUICK_REPLY",
            Self::Url => "URL",
            Self::PhoneNumber => "PHONE_NUMBER",
            Self::CopyCode => "COPY_CODE",
            Self::Flow => "FLOW",
            Self::Catalog => "CATALOG",
            Self::MultiProduct => "MPM",
            Self::SingleProduct => "SPM",
            Self::Otp => "OTP",
            Self::VoiceCall => "VOICE_CALL",
            Self::RequestContactInfo => "REQUEST_CONTACT_INFO",
            Self::Other(word) => word,
        }
    }

    fn read(word: &str) -> Self {
        match word.to_ascii_uppercase().as_str() {
            "QUICK_REPLY" => Self::QuickReply,
            "URL" => Self::Url,
            "PHONE_NUMBER" => Self::PhoneNumber,
            "COPY_CODE" => Self::CopyCode,
            "FLOW" => Self::Flow,
            "CATALOG" => Self::Catalog,
            "MPM" => Self::MultiProduct,
            "SPM" => Self::SingleProduct,
            "OTP" => Self::Otp,
            "VOICE_CALL" => Self::VoiceCall,
            "REQUEST_CONTACT_INFO" => Self::RequestContactInfo,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl Button {
    /// A property that is a text.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&str> {
        self.properties.get(name).and_then(Value::as_str)
    }

    /// The address that a [`ButtonKind::Url`] opens.
    #[must_use]
    pub fn url(&self) -> &str {
        self.property("url").unwrap_or_default()
    }

    /// The sample of its variable: a text or a list with one.
    #[must_use]
    pub fn example(&self) -> Option<&str> {
        let example = self.properties.get("example")?;
        example.as_str().or_else(|| example.get(0)?.as_str())
    }

    /// Whether its address has a variable, which each send has to give.
    #[must_use]
    pub fn has_variable(&self) -> bool {
        self.kind == ButtonKind::Url && !slots::slots(self.url()).is_empty()
    }

    /// Whether it carries the code of an authentication template. Meta lists such buttons as `URL` with an address of
    /// its own.
    #[must_use]
    pub fn is_otp(&self) -> bool {
        self.kind == ButtonKind::Otp
            || (self.kind == ButtonKind::Url && self.url().contains("whatsapp.com/otp/"))
    }
}

impl MessageTemplate {
    /// Makes a template of components in Meta's form. Without a format, the variables tell it.
    #[must_use]
    pub fn new(
        name: impl Into<String>,
        language: &str,
        category: TemplateCategory,
        format: Option<ParameterFormat>,
        components: &[Value],
    ) -> Self {
        let mut template = Self {
            name: name.into(),
            language: fold_language(language),
            category,
            format: ParameterFormat::Positional,
            ttl_seconds: None,
            components: components.iter().map(Component::read).collect(),
        };
        template.format = format.unwrap_or_else(|| template.written_format());
        template
    }

    /// The components in Meta's form, as they are handed in.
    #[must_use]
    pub fn components_json(&self) -> Vec<Value> {
        let json = |component: &Component| component.json(self.format);
        self.components.iter().map(json).collect()
    }

    /// Whether both say the same, whatever their samples are: not every provider gives those back.
    #[must_use]
    pub fn says_the_same_as(&self, other: &Self) -> bool {
        fn bare(components: &[Component]) -> Vec<Component> {
            let mut parts = components.to_vec();
            for component in &mut parts {
                match component {
                    Component::Header(header) => {
                        header.examples.clear();
                        header.handles.clear();
                    }
                    Component::Body(body) => body.examples.clear(),
                    Component::Buttons(buttons) => {
                        for button in buttons {
                            button.properties.remove("example");
                        }
                    }
                    Component::Carousel(cards) => {
                        for card in cards {
                            *card = bare(card);
                        }
                    }
                    Component::Footer(_) | Component::Other { .. } => {}
                }
            }
            parts
        }
        bare(&self.components) == bare(&other.components)
    }

    /// The format in which the variables are written.
    fn written_format(&self) -> ParameterFormat {
        let named = self.texts().into_iter().any(|text| {
            let slots = slots::slots(text);
            slots
                .iter()
                .any(|slot| !slot.name.is_empty() && slot.number().is_none())
        });
        if named {
            ParameterFormat::Named
        } else {
            ParameterFormat::Positional
        }
    }

    /// The texts of header and body.
    fn texts(&self) -> Vec<&str> {
        let header = self.header().map(|header| header.text.as_str());
        let body = self.body().map(|body| body.text.as_str());
        header.into_iter().chain(body).collect()
    }

    /// Its header.
    #[must_use]
    pub fn header(&self) -> Option<&Header> {
        self.components
            .iter()
            .find_map(|component| match component {
                Component::Header(header) => Some(header),
                _ => None,
            })
    }

    /// Its body.
    #[must_use]
    pub fn body(&self) -> Option<&Body> {
        self.components
            .iter()
            .find_map(|component| match component {
                Component::Body(body) => Some(body),
                _ => None,
            })
    }

    /// Its footer.
    #[must_use]
    pub fn footer(&self) -> Option<&Footer> {
        self.components
            .iter()
            .find_map(|component| match component {
                Component::Footer(footer) => Some(footer),
                _ => None,
            })
    }

    /// Its buttons, in their order.
    #[must_use]
    pub fn buttons(&self) -> &[Button] {
        self.components
            .iter()
            .find_map(|component| match component {
                Component::Buttons(buttons) => Some(buttons.as_slice()),
                _ => None,
            })
            .unwrap_or_default()
    }

    /// Its cards.
    #[must_use]
    pub fn cards(&self) -> &[Vec<Component>] {
        self.components
            .iter()
            .find_map(|component| match component {
                Component::Carousel(cards) => Some(cards.as_slice()),
                _ => None,
            })
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
