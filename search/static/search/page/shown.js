// What the page shows: the question with its options, and the stored answer's key once there is one.

export const shown = { question: "", source: "", after: "", key: "", markdown: "", shared: "" };
