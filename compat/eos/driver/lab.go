package driver

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"once/compat/eos/history"
)

const verdictLimit = time.Minute // for one verdict of the broker

// observeFindings writes down what the broker has noticed about the clients so far, if it says so.
func (r *run) observeFindings(ctx context.Context) error {
	if !r.cfg.Judges {
		return nil
	}
	var found []struct {
		Code, Sentence string
		Subjects       struct{ TransactionalID string }
		Count          int64
	}
	if err := r.askLab(ctx, http.MethodGet, "findings", nil, &found); err != nil {
		return err
	}
	e := history.Event{Kind: history.KindFindings}
	for _, f := range found {
		e.Findings = append(e.Findings, history.Finding{Code: f.Code, Sentence: f.Sentence,
			TransactionalID: f.Subjects.TransactionalID, Count: f.Count})
	}
	r.events.Write(e)
	return nil
}

// askVerdicts asks the broker for its own judgement of the copiers.
func (r *run) askVerdicts(ctx context.Context, final *history.Final) error {
	if !r.cfg.Judges {
		return nil
	}
	for k, name := range history.OutputNames {
		output := r.cfg.Logs[r.cfg.InParts+int32(k)*r.cfg.OutParts].Topic
		v := history.Verdict{}
		question := map[string]string{"input": r.cfg.Logs[0].Topic, "output": output, "key": "header:" + name,
			"group": r.cfg.Group}
		if err := r.askLab(ctx, http.MethodPost, "verify", question, &v); err != nil {
			return err
		}
		v.Output = output
		fmt.Fprintf(r.Out, "the broker's verdict on %s: ok %v, %d inputs, %d outputs, %d missing, %d doubled, "+
			"%d out of order, %d of no input\n", name, v.OK, v.Inputs, v.Outputs, len(v.Missing),
			len(v.Duplicated), len(v.OutOfOrder), len(v.Unknown))
		final.Verdicts = append(final.Verdicts, v)
	}
	return nil
}

// authorize gives a request the token of a lab; "" is none.
func authorize(request *http.Request, token string) {
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
}

// askLab makes a call of the broker's lab. 409 is the answer of a verdict that is not good.
func (r *run) askLab(ctx context.Context, method, path string, question, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, verdictLimit)
	defer cancel()
	var body io.Reader
	if question != nil {
		text, err := json.Marshal(question)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://"+r.System.Admin()+"/v1/"+path, body)
	if err != nil {
		return err
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	authorize(request, r.AdminToken)
	resp, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("asking the broker for %s: %w", path, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusConflict {
		err = fmt.Errorf("%s: %s", resp.Status, text)
	}
	if err == nil {
		err = json.Unmarshal(text, answer)
	}
	if err != nil {
		return fmt.Errorf("asking the broker for %s: %w", path, err)
	}
	return nil
}
