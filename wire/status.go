// Reason phrases (RFC 9110 section 15 and the registry). net/http's table is not used: that package would come with it.

package wire

// StatusText is the usual reason phrase of a status, or "".
func StatusText(status int) string {
	switch {
	case status >= 100 && status < 100+len(informational):
		return informational[status-100]
	case status >= 200 && status < 200+len(successful):
		return successful[status-200]
	case status >= 300 && status < 300+len(redirections):
		return redirections[status-300]
	case status >= 400 && status < 400+len(clientErrors):
		return clientErrors[status-400]
	case status >= 500 && status < 500+len(serverErrors):
		return serverErrors[status-500]
	}
	return ""
}

// The tables are never written after the start.
var (
	informational = [...]string{"Continue", "Switching Protocols", "Processing", "Early Hints"}
	successful    = [...]string{
		0: "OK", 1: "Created", 2: "Accepted", 3: "Non-Authoritative Information", 4: "No Content", 5: "Reset Content",
		6: "Partial Content", 7: "Multi-Status", 8: "Already Reported", 26: "IM Used",
	}
	redirections = [...]string{
		0: "Multiple Choices", 1: "Moved Permanently", 2: "Found", 3: "See Other", 4: "Not Modified", 5: "Use Proxy",
		7: "Temporary Redirect", 8: "Permanent Redirect",
	}
	clientErrors = [...]string{
		0: "Bad Request", 1: "Unauthorized", 2: "Payment Required", 3: "Forbidden", 4: "Not Found", 5: "Method Not Allowed",
		6: "Not Acceptable", 7: "Proxy Authentication Required", 8: "Request Timeout", 9: "Conflict", 10: "Gone",
		11: "Length Required", 12: "Precondition Failed", 13: "Content Too Large", 14: "URI Too Long",
		15: "Unsupported Media Type", 16: "Range Not Satisfiable", 17: "Expectation Failed", 21: "Misdirected Request",
		22: "Unprocessable Content", 23: "Locked", 24: "Failed Dependency", 25: "Too Early", 26: "Upgrade Required",
		28: "Precondition Required", 29: "Too Many Requests", 31: "Request Header Fields Too Large",
		51: "Unavailable For Legal Reasons",
	}
	serverErrors = [...]string{
		0: "Internal Server Error", 1: "Not Implemented", 2: "Bad Gateway", 3: "Service Unavailable", 4: "Gateway Timeout",
		5: "HTTP Version Not Supported", 6: "Variant Also Negotiates", 7: "Insufficient Storage", 8: "Loop Detected",
		11: "Network Authentication Required",
	}
)
