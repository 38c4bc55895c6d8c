package lab;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.UUID;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.extension.AfterEachCallback;
import org.junit.jupiter.api.extension.ExtensionContext;
import org.junit.jupiter.api.extension.ParameterContext;
import org.junit.jupiter.api.extension.ParameterResolver;

/**
 * The lab of one cluster of Once: one file over java.net.http. Copy it beside your tests. Bodies and answers are JSON as
 * text; conditions are waited for by the broker, so that a test has little to read.
 *
 * <p>With {@code @ExtendWith(Lab.Extension.class)} a test that has a Lab as a parameter gets a cluster of its own, in a
 * broker that runs: ONCE_LAB is its admin address, http://localhost:9644 by default, and ONCE_LAB_TOKEN its token, if it
 * has one. A test fails when a fault that it asked for never happened.
 */
public final class Lab {
	private static final HttpClient CLIENT = HttpClient.newHttpClient();

	private final String url;
	private final String cluster;

	/** What clients connect to. */
	public final String bootstrap;

	private Lab(String url, String cluster, String bootstrap) {
		this.url = url;
		this.cluster = cluster;
		this.bootstrap = bootstrap;
	}

	/** An answer that is no success, with what is wrong. */
	public static final class LabException extends RuntimeException {
		public final int status;

		LabException(int status, String answer) {
			super(status + " " + answer);
			this.status = status;
		}
	}

	/** The lab of a new cluster. */
	public static Lab newCluster(String url) {
		String name = "test-" + UUID.randomUUID();
		String made = send(url, "POST", "/clusters", "{\"name\": \"" + name + "\"}");
		return new Lab(url, name, text(made, "bootstrap"));
	}

	/** The lab of a cluster that is there; the broker's own is {@code default}. */
	public static Lab ofCluster(String url, String name, String bootstrap) {
		return new Lab(url, name, bootstrap);
	}

	/** Ends the cluster. */
	public void delete() {
		send(url, "DELETE", "/clusters/" + cluster, null);
	}

	/** Any call of GET /v1/openapi.json, with the path behind /v1, and its answer; body is null for none. */
	public String call(String method, String path, String body) {
		return send(url, method, "/clusters/" + cluster + path, body);
	}

	/** Makes a rule, and returns its ID. */
	public String fault(String rule) {
		return text(call("POST", "/faults", rule), "id");
	}

	/** Lets go of what a rule holds. */
	public String release(String id) {
		return call("POST", "/faults/" + id + "/release", null);
	}

	/** Ends all rules. One that never fired makes it an exception, which names the rule. */
	public String heal() {
		return call("DELETE", "/faults?requireTriggered=true", null);
	}

	/** Moves the clock forward, {@code 16m}, and returns what fell due. */
	public String advance(String by) {
		return call("POST", "/clock", "{\"advance\": \"" + by + "\"}");
	}

	/** Makes the cluster as new; clients stay connected. */
	public void reset() {
		call("POST", "/reset", null);
	}

	/** Waits for a condition of POST /v1/await. */
	public String await(String condition) {
		return call("POST", "/await", condition);
	}

	/**
	 * What the broker noticed about clients, but for some codes: {@code assertEquals("[]", lab.findings())}.
	 */
	public String findings(String... ignore) {
		String query = ignore.length == 0 ? "" : "?ignore=" + String.join(",", ignore);
		return call("GET", "/findings" + query, null).strip();
	}

	/** Forgets the findings, and returns them. */
	public String clearFindings() {
		return call("DELETE", "/findings", null).strip();
	}

	private static String send(String url, String method, String path, String body) {
		HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(url + "/v1" + path));
		if (body == null) {
			request.method(method, HttpRequest.BodyPublishers.noBody());
		} else {
			request.method(method, HttpRequest.BodyPublishers.ofString(body)).header("Content-Type", "application/json");
		}
		String token = System.getenv("ONCE_LAB_TOKEN");
		if (token != null && !token.isEmpty()) {
			request.header("Authorization", "Bearer " + token);
		}
		try {
			HttpResponse<String> answer = CLIENT.send(request.build(), HttpResponse.BodyHandlers.ofString());
			if (answer.statusCode() / 100 != 2) {
				throw new LabException(answer.statusCode(), answer.body());
			}
			return answer.body();
		} catch (IOException e) {
			throw new UncheckedIOException(e);
		} catch (InterruptedException e) {
			Thread.currentThread().interrupt();
			throw new IllegalStateException(e);
		}
	}

	private static String text(String json, String field) {
		Matcher m = Pattern.compile("\"" + field + "\":\\s*\"([^\"]*)\"").matcher(json);
		if (!m.find()) {
			throw new IllegalStateException("no " + field + " in " + json);
		}
		return m.group(1);
	}

	/** Gives each test a cluster of its own, whose faults must have happened. */
	public static final class Extension implements ParameterResolver, AfterEachCallback {
		private static final ExtensionContext.Namespace NAMESPACE = ExtensionContext.Namespace.create(Lab.class);

		@Override
		public boolean supportsParameter(ParameterContext parameter, ExtensionContext test) {
			return parameter.getParameter().getType() == Lab.class;
		}

		@Override
		public Object resolveParameter(ParameterContext parameter, ExtensionContext test) {
			String url = System.getenv().getOrDefault("ONCE_LAB", "http://localhost:9644");
			return test.getStore(NAMESPACE).getOrComputeIfAbsent("lab", k -> newCluster(url));
		}

		@Override
		public void afterEach(ExtensionContext test) {
			Lab lab = test.getStore(NAMESPACE).get("lab", Lab.class);
			if (lab == null) {
				return;
			}
			try {
				lab.heal();
			} finally {
				lab.delete();
			}
		}
	}
}
