import java.io.ByteArrayOutputStream;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

import org.apache.kafka.common.utils.Exit;

/**
 * Runs Kafka's tools one after the other in one JVM, whose start costs more than any of them.
 *
 * A line of standard input is a class and its arguments, with tabs between. The answer is what the tool printed, each line
 * after "out|" or "err|", and then "end|" with the status that it would have ended the JVM with.
 */
public class Tools {
    /** What a tool meets in place of the end of the JVM. */
    static final class Ended extends Error { }

    static final ByteArrayOutputStream out = new ByteArrayOutputStream(), err = new ByteArrayOutputStream();
    static Integer status; // the first that a tool asked for, and how much it had printed by then
    static int outEnd, errEnd;

    public static void main(String[] none) throws Exception {
        PrintStream answers = System.out;
        // Set once: Scala's Console and the logger keep the streams that they met first.
        System.setOut(new PrintStream(out, true, StandardCharsets.UTF_8));
        System.setErr(new PrintStream(err, true, StandardCharsets.UTF_8));
        Exit.setExitProcedure((code, message) -> {
            ends(code);
            throw new Ended();
        });
        Exit.setShutdownHookAdder((name, hook) -> { });
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line; (line = lines.readLine()) != null; ) {
            String[] words = line.split("\t", -1);
            status = null;
            out.reset();
            err.reset();
            run(words[0], Arrays.copyOfRange(words, 1, words.length));
            ends(0);
            StringBuilder answer = new StringBuilder();
            append(answer, "out|", out, outEnd);
            append(answer, "err|", err, errEnd);
            answers.print(answer.append("end|").append(status).append('\n'));
            answers.flush();
        }
        Runtime.getRuntime().halt(0); // whatever threads the tools left behind
    }

    /** Whatever a tool prints after its end is about {@link Ended}. */
    static void ends(int code) {
        if (status == null) {
            status = code;
            outEnd = out.size();
            errEnd = err.size();
        }
    }

    static void append(StringBuilder answer, String prefix, ByteArrayOutputStream printed, int end) {
        new String(printed.toByteArray(), 0, end, StandardCharsets.UTF_8).lines().forEach(l -> answer.append(prefix).append(l).append('\n'));
    }

    static void run(String tool, String[] args) throws ReflectiveOperationException {
        try {
            Class.forName(tool).getMethod("main", String[].class).invoke(null, (Object) args);
        } catch (InvocationTargetException e) {
            if (e.getCause() instanceof Ended) return;
            e.getCause().printStackTrace();
            ends(1);
        }
    }
}
