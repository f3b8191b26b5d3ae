//! A strict reader of the SOQL that a hub needs:
//! `SELECT f, … FROM T [WHERE f op v [AND …]] [ORDER BY f [ASC|DESC], …] [LIMIT n]`, with `=  !=  <  <=  >  >=  IN (…)`.

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Soql {
    pub(super) fields: Vec<String>,
    pub(super) object: String,
    pub(super) conditions: Vec<Condition>,
    pub(super) order: Vec<(String, bool)>,
    pub(super) limit: Option<usize>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Condition {
    pub(super) field: String,
    pub(super) operator: String,
    /// One, except for `IN`.
    pub(super) values: Vec<Literal>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Literal {
    Text(String),
    /// Number, instant or date: written without quotes.
    Bare(String),
    Bool(bool),
    Null,
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Sign(String),
}

pub(super) fn parse(text: &str) -> Result<Soql, String> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0 };
    let soql = parser.query()?;
    match parser.peek() {
        None => Ok(soql),
        Some(token) => Err(format!("unexpected token: {token:?}")),
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut out = Vec::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            c if c.is_whitespace() => {}
            '\'' => out.push(Token::Text(quoted(&mut rest)?)),
            ',' | '(' | ')' | '=' => out.push(Token::Sign(c.to_string())),
            '<' | '>' | '!' => {
                let longer = rest.next_if_eq(&'=').is_some();
                out.push(Token::Sign(if longer { format!("{c}=") } else { c.to_string() }));
            }
            c if is_word(c) => {
                let mut word = c.to_string();
                while let Some(next) = rest.next_if(|n| is_word(*n)) {
                    word.push(next);
                }
                out.push(Token::Word(word));
            }
            other => return Err(format!("unexpected character {other:?}")),
        }
    }
    Ok(out)
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':' | '-' | '+')
}

fn quoted(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<String, String> {
    let mut out = String::new();
    loop {
        match rest.next().ok_or("a quoted text does not end")? {
            '\'' => return Ok(out),
            '\\' => out.push(match rest.next() {
                Some('n' | 'N') => '\n',
                Some('r' | 'R') => '\r',
                Some('t' | 'T') => '\t',
                Some('b' | 'B') => '\u{8}',
                Some('f' | 'F') => '\u{c}',
                Some(same @ ('\'' | '"' | '\\' | '_' | '%')) => same,
                _ => return Err("illegal escape in a quoted text".to_owned()),
            }),
            other => out.push(other),
        }
    }
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    fn keyword(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Word(w)) if w.eq_ignore_ascii_case(word));
        self.at += usize::from(found);
        found
    }

    fn sign(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Sign(s)) if s == sign);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, found: bool, what: &str) -> Result<(), String> {
        if found { Ok(()) } else { Err(format!("expecting {what} at token {}", self.at)) }
    }

    fn name(&mut self) -> Result<String, String> {
        match self.next() {
            Some(Token::Word(word))
                if word.starts_with(|c: char| c.is_ascii_alphabetic()) && !word.contains(['.', ':', '-', '+']) =>
            {
                Ok(word)
            }
            other => Err(format!("expecting a name, found {other:?}")),
        }
    }

    fn query(&mut self) -> Result<Soql, String> {
        let found = self.keyword("SELECT");
        self.expect(found, "SELECT")?;
        let mut fields = vec![self.name()?];
        while self.sign(",") {
            fields.push(self.name()?);
        }
        let found = self.keyword("FROM");
        self.expect(found, "FROM")?;
        let object = self.name()?;
        let mut conditions = Vec::new();
        if self.keyword("WHERE") {
            conditions.push(self.condition()?);
            while self.keyword("AND") {
                conditions.push(self.condition()?);
            }
        }
        let order = self.order()?;
        let limit = if self.keyword("LIMIT") { Some(self.number()?) } else { None };
        Ok(Soql { fields, object, conditions, order, limit })
    }

    fn order(&mut self) -> Result<Vec<(String, bool)>, String> {
        let mut order = Vec::new();
        if !self.keyword("ORDER") {
            return Ok(order);
        }
        let found = self.keyword("BY");
        self.expect(found, "BY")?;
        loop {
            let name = self.name()?;
            let descending = self.keyword("DESC");
            if !descending {
                self.keyword("ASC");
            }
            order.push((name, !descending));
            if !self.sign(",") {
                return Ok(order);
            }
        }
    }

    fn number(&mut self) -> Result<usize, String> {
        match self.next() {
            Some(Token::Word(word)) => word.parse().map_err(|_| "expecting a number".to_owned()),
            _ => Err("expecting a number".to_owned()),
        }
    }

    fn condition(&mut self) -> Result<Condition, String> {
        let field = self.name()?;
        if self.keyword("IN") {
            let found = self.sign("(");
            self.expect(found, "(")?;
            let mut values = vec![self.literal()?];
            while self.sign(",") {
                values.push(self.literal()?);
            }
            let found = self.sign(")");
            self.expect(found, ")")?;
            return Ok(Condition { field, operator: "IN".to_owned(), values });
        }
        match self.next() {
            Some(Token::Sign(sign)) if matches!(sign.as_str(), "=" | "!=" | "<" | "<=" | ">" | ">=") => {
                Ok(Condition { field, operator: sign, values: vec![self.literal()?] })
            }
            other => Err(format!("expecting an operator, found {other:?}")),
        }
    }

    fn literal(&mut self) -> Result<Literal, String> {
        match self.next() {
            Some(Token::Text(text)) => Ok(Literal::Text(text)),
            Some(Token::Word(word)) => Ok(match word.to_ascii_lowercase().as_str() {
                "true" => Literal::Bool(true),
                "false" => Literal::Bool(false),
                "null" => Literal::Null,
                bare if bare.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+') => Literal::Bare(word),
                _ => return Err(format!("unexpected word {word}")),
            }),
            other => Err(format!("expecting a value, found {other:?}")),
        }
    }
}
