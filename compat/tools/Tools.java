import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.InputStream;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Scanner;

import org.apache.kafka.common.utils.internals.Exit;

/**
 * Runs Kafka's command-line tools one after the other in one process, which saves each of them the start of a JVM. A line
 * of input is a tool: its class, what it reads, and its arguments, in base 64 and separated by blanks. A line of output is
 * its exit code and what it printed, in base 64.
 */
class Tools {
	/** Ends a tool in place of the process. */
	static final class Ended extends Error {
		Ended() {
			super(null, null, false, false);
		}
	}

	static volatile Integer code;
	static volatile int printed;

	public static void main(String[] args) throws Exception {
		PrintStream out = System.out;
		ByteArrayOutputStream said = new ByteArrayOutputStream();
		Exit.Procedure end = (status, message) -> {
			if (code == null) {
				if (message != null)
					System.err.println(message);
				code = status;
				printed = said.size();
			}
			throw new Ended();
		};
		Exit.setExitProcedure(end);
		Exit.setHaltProcedure(end);
		Scanner lines = new Scanner(System.in, StandardCharsets.UTF_8);
		while (lines.hasNextLine()) {
			List<String> words = new ArrayList<>();
			for (String word : lines.nextLine().split(" "))
				words.add(new String(Base64.getDecoder().decode(word), StandardCharsets.UTF_8));
			said.reset();
			code = null;
			PrintStream capture = new PrintStream(said, true, StandardCharsets.UTF_8);
			InputStream read = new ByteArrayInputStream(words.get(1).getBytes(StandardCharsets.UTF_8));
			System.setOut(capture);
			System.setErr(capture);
			System.setIn(read);
			Thread tool = new Thread(() -> run(words.get(0), words.subList(2, words.size()).toArray(new String[0])), "tool");
			tool.start();
			tool.join(60_000);
			if (tool.isAlive()) {
				System.err.println("does not end");
				tool.interrupt();
				code = 124;
				printed = said.size();
			}
			byte[] bytes = said.toByteArray();
			int n = code == null ? bytes.length : Math.min(printed, bytes.length);
			out.println((code == null ? 0 : code) + " "
					+ Base64.getEncoder().encodeToString(java.util.Arrays.copyOf(bytes, n)));
			out.flush();
		}
		Runtime.getRuntime().halt(0); // tools that were interrupted leave threads
	}

	static void run(String name, String[] args) {
		try {
			Method main = Class.forName(name).getMethod("main", String[].class);
			main.setAccessible(true);
			main.invoke(null, (Object) args);
		} catch (InvocationTargetException e) {
			if (!(e.getCause() instanceof Ended) && code == null) {
				System.err.println(e.getCause());
				code = 1;
				printed = Integer.MAX_VALUE;
			}
		} catch (ReflectiveOperationException e) {
			System.err.println(e);
			code = 127;
			printed = Integer.MAX_VALUE;
		}
	}
}
