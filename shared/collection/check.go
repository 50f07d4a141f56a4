package collection

import (
	"context"
	"fmt"

	"github.com/shoaldb/shoal/shared/document"
	"github.com/shoaldb/shoal/shared/store"
)

// Damage is a record that cannot be read.
type Damage struct {
	Position store.Position
	Err      error
}

// Report is what Check found in a log.
type Report struct {
	Replica    document.ReplicaID
	Records    int
	Bytes      int64 // of all records
	Documents  int
	Tombstones int
	Damaged    []Damage         // what is lost unless others have it; Open leaves it out, and then asks them for it
	Repaired   []store.Position // records that were damaged and that Open has left out already
}

// Check reads all of a log, as Open does, and tells whether it can be read, without changing anything. The error tells that the
// log itself could not be read, or that a later version has written it.
func Check(ctx context.Context, log store.Log) (Report, error) {
	var m memory
	m.init()
	var report Report
	for {
		records, err := log.Read(ctx, m.next, loadBytes)
		if err == nil && len(records) > 0 {
			_, err = m.apply(records)
		}
		if err != nil {
			return report, fmt.Errorf("check log: %w", err)
		}
		if len(records) == 0 {
			break
		}
		for _, r := range records {
			report.Records++
			report.Bytes += int64(len(r.Data))
		}
	}
	report.Replica, report.Repaired = m.self, m.repaired
	report.Documents, report.Tombstones = m.live, len(m.docs)-m.live
	for _, d := range m.damaged {
		report.Damaged = append(report.Damaged, Damage{d.record.First, d.err})
	}
	return report, nil
}
