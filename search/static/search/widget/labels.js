// The widget's own words; what the server says is in the language of its operator.

const LABELS = {
  en: {
    open: "Ask the docs", title: "Ask the documentation", box: "Search, or ask a question", ask: "Ask", stop: "Stop",
    close: "Close", sources: "Sources", source: "Search in", all: "All sources", searching: "Searching…",
    failed: "The answer did not arrive. Check your connection and ask again.", done: "Answered.",
    brokenOff: "The connection ended before the answer was complete. Ask again to get all of it.",
  },
  de: {
    open: "Doku fragen", title: "Dokumentation fragen", box: "Suchen oder eine Frage stellen", ask: "Fragen",
    stop: "Anhalten", close: "Schließen", sources: "Quellen", source: "Suchen in", all: "Alle Quellen",
    searching: "Wird gesucht …", failed: "Die Antwort kam nicht an. Verbindung prüfen und noch einmal fragen.",
    done: "Beantwortet.", brokenOff: "Die Verbindung endete, bevor die Antwort vollständig war. Noch einmal fragen.",
  },
  fr: {
    open: "Interroger la doc", title: "Interroger la documentation", box: "Chercher ou poser une question",
    ask: "Demander", stop: "Arrêter", close: "Fermer", sources: "Sources", source: "Chercher dans",
    all: "Toutes les sources", searching: "Recherche…",
    failed: "La réponse n’est pas arrivée. Vérifiez la connexion et réessayez.", done: "Réponse donnée.",
    brokenOff: "La connexion s’est terminée avant la fin de la réponse. Posez la question à nouveau.",
  },
  es: {
    open: "Preguntar", title: "Preguntar a la documentación", box: "Buscar o hacer una pregunta", ask: "Preguntar",
    stop: "Parar", close: "Cerrar", sources: "Fuentes", source: "Buscar en", all: "Todas las fuentes",
    searching: "Buscando…", failed: "La respuesta no llegó. Compruebe la conexión y pregunte de nuevo.",
    done: "Respondido.", brokenOff: "La conexión terminó antes de completar la respuesta. Pregunte de nuevo.",
  },
};

export function labelsFor(language) {
  return { ...LABELS.en, ...LABELS[(language || document.documentElement.lang || "en").slice(0, 2).toLowerCase()] };
}
